#include "daemon/cluster/announcement.h"

#include <algorithm>
#include <array>

#include "base/endian.h"
#include "net/checksum.h"

namespace cygnet {
namespace {

using Frame = std::vector<uint8_t>;

constexpr uint8_t kIcmpv6 = 58;
constexpr uint8_t kNeighbourAdvertisement = 136;
constexpr uint8_t kOverride = 0x20;
constexpr uint8_t kTargetLinkLayerAddress = 2;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kAdvertisement = 32;  // with one option

void Put16(Frame* frame, uint16_t value) {
  frame->resize(frame->size() + 2);
  StoreBe16(frame->data() + frame->size() - 2, value);
}

template <typename Bytes>
void Put(Frame* frame, const Bytes& bytes) {
  frame->insert(frame->end(), std::begin(bytes), std::end(bytes));
}

Frame EthernetTo(const MacAddress& to, const MacAddress& from, uint16_t type) {
  Frame frame;
  Put(&frame, to);
  Put(&frame, from);
  Put16(&frame, type);
  return frame;
}

// `operation`: 1 request, 2 reply. The target is the address itself.
Frame Arp(const VirtualAddress& address, const MacAddress& mac, uint16_t operation) {
  MacAddress broadcast;
  broadcast.fill(0xff);
  Frame frame = EthernetTo(broadcast, mac, kEtherTypeArp);
  Put16(&frame, 1);  // Ethernet
  Put16(&frame, kEtherTypeIpv4);
  Put(&frame, std::array<uint8_t, 2>{6, 4});
  Put16(&frame, operation);
  const std::span<const uint8_t> ip(address.address.bytes.data(), 4);
  Put(&frame, mac);
  Put(&frame, ip);
  Put(&frame, operation == 1 ? MacAddress{} : mac);
  Put(&frame, ip);
  return frame;
}

Frame Advertisement(const VirtualAddress& address, const MacAddress& mac) {
  const IpAddress all_nodes = ParseAddress("ff02::1")->address;
  Frame frame = EthernetTo({0x33, 0x33, 0, 0, 0, 1}, mac, kEtherTypeIpv6);
  Put(&frame, std::array<uint8_t, 4>{0x60, 0, 0, 0});
  Put16(&frame, kAdvertisement);
  Put(&frame, std::array<uint8_t, 2>{kIcmpv6, 255});
  Put(&frame, address.address.bytes);
  Put(&frame, all_nodes.bytes);
  Put(&frame, std::array<uint8_t, 8>{kNeighbourAdvertisement, 0, 0, 0, kOverride, 0, 0, 0});
  Put(&frame, address.address.bytes);
  Put(&frame, std::array<uint8_t, 2>{kTargetLinkLayerAddress, 1});
  Put(&frame, mac);
  const std::span<uint8_t> message = std::span(frame).subspan(kEthernetHeader + kIpv6Header);
  const uint64_t pseudo = PseudoHeaderSum(address.address, all_nodes, IpFamily::kV6, kIcmpv6,
                                          static_cast<uint32_t>(message.size()));
  StoreBe16(message.data() + 2, ChecksumFinish(ChecksumAdd(message, pseudo)));
  return frame;
}

}  // namespace

std::vector<Frame> AnnouncementsOf(const VirtualAddress& address, const MacAddress& mac) {
  if (address.family == IpFamily::kV6) return {Advertisement(address, mac)};
  return {Arp(address, mac, 1), Arp(address, mac, 2)};
}

}  // namespace cygnet
