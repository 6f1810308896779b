#include "datapath/returned.h"

#include "base/endian.h"
#include "datapath/seal_proof.h"
#include "esp/crypto_jobs.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

// Finds the SA that numbered the packet. A different SA with the same SPI has another key and may
// already have used the same nonce.
OutboundSa* FindSealer(const DataPath& path, const IpPacketView& ip, const Packet& packet) {
  const std::size_t esp = packet.offload.esp_offset;
  if (esp + kEspHeader > packet.length) return nullptr;
  Sa* sa = path.sad.LookupInbound(Spi(LoadBe32(packet.data() + esp)), ip.flow.daddr, ip.flow.family,
                                  kProtoEsp);
  if (sa == nullptr || packet.csum_partial ||
      static_cast<uint32_t>(sa->number) != packet.sa_number()) {
    return nullptr;
  }
  return sa->state() == SaState::kDead ? nullptr : sa->outbound();
}

}  // namespace

OutboundItem MakeReturnedItem(const DataPath& path, uint8_t interface, Packet* packet) {
  packet->offload.status = OffloadStatus::kNone;
  OutboundItem item{.packet = packet, .egress = interface};
  const auto ip = ParseIpPacket(packet->l3());
  OutboundSa* sa = ip ? FindSealer(path, *ip, *packet) : nullptr;
  if (sa == nullptr) {
    item.verdict = DropReason::kOutStateInvalid;
    return item;
  }
  item.view = *ip;
  item.chain.sas[0] = sa;
  item.chain.size = 1;
  item.binding = sa->binding.load(std::memory_order_acquire);
  const bool room = esp::HasRoomForJob(sa->layout, packet->length - packet->offload.esp_offset);
  if (item.binding == nullptr) {
    item.verdict = DropReason::kOutStateInvalid;
  } else if (item.binding->cpu.session == nullptr) {  // a device is required
    item.verdict = DropReason::kOutRequired;
  } else if (!room) {
    item.verdict = DropReason::kOutDeviceError;
  } else if (packet->protection == Protection::kOwedShadow &&
             !OweSeal(sa->layout, path.unsealed_word, packet)) {
    item.verdict = DropReason::kOutDeviceError;  // cannot be: its text has not moved
  }
  return item;
}

}  // namespace cygnet
