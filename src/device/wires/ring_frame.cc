#include "device/wires/ring_frame.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>

#include "base/endian.h"
#include "device/host/virtio_header.h"
#include "device/wires/wire_state.h"
#include "net/ethernet.h"

namespace cygnet {
namespace {

constexpr uint32_t kVlanTag = WireState::kVlanTag;
constexpr uint32_t kAddresses = 12;  // in front of the place of a tag

bool HasTag(const tpacket2_hdr& meta) { return (meta.tp_status & TP_STATUS_VLAN_VALID) != 0; }

// The kernel removed the tag from the frame: writes it again.
void WriteTag(const tpacket2_hdr& meta, uint8_t* frame) {
  const bool named = (meta.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0;
  StoreBe16(frame + kAddresses, named ? meta.tp_vlan_tpid : uint16_t{ETH_P_8021Q});
  StoreBe16(frame + kAddresses + 2, meta.tp_vlan_tci);
}

Packet* Drop(Packet* packet, DropReason reason, DropSink* sink) {
  sink->Drop(packet, reason);
  return nullptr;
}

// Takes `header`, which does not count the `tag` bytes.
Packet* Finish(VirtioNetHeader header, uint32_t tag, Packet* packet, DropSink* sink) {
  if ((header.flags & kVirtioNeedsCsum) != 0) {
    header.csum_start = static_cast<uint16_t>(header.csum_start + tag);
  }
  return ReadVirtioHeader(header, packet) ? packet : Drop(packet, DropReason::kPortBadFrame, sink);
}

// A frame that does not fit its slot is queued whole on the socket.
Packet* ReceiveLong(const PacketRing& ring, const tpacket2_hdr& meta, DropSink* sink) {
  Packet* packet = sink->caches()->jumbo.Take();
  const uint32_t tag = HasTag(meta) ? kVlanTag : 0;
  VirtioNetHeader header;
  uint8_t spill = 0;
  iovec parts[3] = {{&header, kVirtioHeader}, {&spill, 1}, {nullptr, 0}};
  if (packet != nullptr) {
    const uint32_t room = packet->capacity - kPacketHeadroom - kPacketTailroom;
    parts[1] = {packet->data(), kAddresses};
    parts[2] = {packet->data() + kAddresses + tag, room - kAddresses - tag};
  }
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 3;
  const ssize_t n = recvmsg(ring.fd.get(), &message, MSG_DONTWAIT);
  if (packet == nullptr) {
    sink->counters()->Add(DropReason::kNoBuffers);
    return nullptr;
  }
  if (n < static_cast<ssize_t>(kVirtioHeader + kEthernetHeader) ||
      (message.msg_flags & MSG_TRUNC) != 0) {
    return Drop(packet, DropReason::kPortTooBig, sink);
  }
  packet->length = static_cast<uint32_t>(n) - kVirtioHeader + tag;
  if (tag != 0) WriteTag(meta, packet->data());
  return Finish(header, tag, packet, sink);
}

}  // namespace

Packet* TakeFrame(const PacketRing& ring, uint8_t* frame, DropSink* sink) {
  const auto& meta = *reinterpret_cast<const tpacket2_hdr*>(frame);
  if ((meta.tp_status & TP_STATUS_COPY) != 0) return ReceiveLong(ring, meta, sink);
  const uint32_t tag = HasTag(meta) ? kVlanTag : 0;
  const uint32_t length = meta.tp_snaplen + tag;
  if (meta.tp_snaplen < meta.tp_len || meta.tp_snaplen < kEthernetHeader) {
    sink->counters()->Add(DropReason::kPortBadFrame);
    return nullptr;
  }
  Packet* packet = sink->caches()->TakeFor(length);
  if (packet == nullptr) {
    sink->counters()->Add(DropReason::kNoBuffers);
    return nullptr;
  }
  packet->length = length;
  const uint8_t* bytes = frame + meta.tp_mac;
  VirtioNetHeader header;
  std::memcpy(&header, bytes - kVirtioHeader, kVirtioHeader);
  uint8_t* out = packet->data();
  if (tag != 0) {
    std::memcpy(out, bytes, kAddresses);
    WriteTag(meta, out);
    std::memcpy(out + kAddresses + tag, bytes + kAddresses, meta.tp_snaplen - kAddresses);
  } else {
    std::memcpy(out, bytes, length);
  }
  return Finish(header, tag, packet, sink);
}

}  // namespace cygnet
