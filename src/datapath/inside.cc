#include "datapath/inside.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/endian.h"
#include "net/ethernet.h"

namespace cygnet {
namespace {

constexpr uint32_t kTag = 4;
constexpr uint16_t kVlanType = 0x8100;
constexpr uint16_t kVlanMask = 0xfff;
constexpr uint32_t kMacs = 12;

}  // namespace

// Its halves may be of two addresses for a moment. Then one error has a source that no one routes.
IpAddress InsideInterface::Address(IpFamily family) const {
  if (family == IpFamily::kV4) {
    const uint32_t raw = address_v4.load(std::memory_order_relaxed);
    return IpAddress::V4(&raw);
  }
  const std::array<uint64_t, 2> raw = {address_v6[0].load(std::memory_order_relaxed),
                                       address_v6[1].load(std::memory_order_relaxed)};
  return IpAddress::V6(raw.data());
}

void InsideInterface::SetAddress(const ParsedAddress& own) {
  if (own.family == IpFamily::kV4) {
    uint32_t raw = 0;
    std::memcpy(&raw, own.address.bytes.data(), sizeof(raw));
    address_v4.store(raw, std::memory_order_relaxed);
    return;
  }
  std::array<uint64_t, 2> raw{};
  std::memcpy(raw.data(), own.address.bytes.data(), sizeof(raw));
  for (std::size_t i = 0; i < raw.size(); ++i) {
    address_v6[i].store(raw[i], std::memory_order_relaxed);
  }
}

InsideInterface* Inside::Add(std::string name, uint8_t device, Port* port, uint16_t vlan) {
  CYGNET_CHECK(interfaces_.size() < kMax);
  auto interface = std::make_unique<InsideInterface>();
  interface->number = static_cast<uint8_t>(interfaces_.size() + 1);
  interface->name = std::move(name);
  interface->device = device;
  interface->vlan = vlan;
  interface->port = port;
  interfaces_.push_back(std::move(interface));
  if (std::find(ports_.begin(), ports_.end(), port) == ports_.end()) ports_.push_back(port);
  return interfaces_.back().get();
}

const InsideStep& InsideRoutes::Find(const IpAddress& to) const {
  const auto above =
      std::upper_bound(steps_.begin() + 1, steps_.end(), to,
                       [](const IpAddress& a, const InsideStep& step) { return a < step.first; });
  return *std::prev(above);
}

uint16_t TakeVlan(Packet* packet) {
  uint8_t* const frame = packet->data();
  if (packet->length < kEthernetHeader + kTag || LoadBe16(frame + kMacs) != kVlanType) return 0;
  const uint16_t vlan = LoadBe16(frame + kMacs + 2) & kVlanMask;
  std::memmove(frame + kTag, frame, kMacs);
  packet->TrimFront(kTag);
  packet->l3_offset = kEthernetHeader;
  return vlan;
}

void AddVlan(const InsideInterface& interface, Packet* packet) {
  if (interface.vlan == 0) return;
  uint8_t* const frame = packet->Prepend(kTag);
  std::memmove(frame, frame + kTag, kMacs);
  StoreBe16(frame + kMacs, kVlanType);
  StoreBe16(frame + kMacs + 2, interface.vlan);
  packet->l3_offset = static_cast<uint16_t>(packet->l3_offset + kTag);
}

uint8_t HopLimit(const uint8_t* l3) { return l3[0] >> 4 == 4 ? l3[8] : l3[7]; }

void LowerHopLimit(uint8_t* l3) {
  if (l3[0] >> 4 != 4) {
    --l3[7];
    return;
  }
  --l3[8];
  // RFC 1624: the sum grows by what the header shrinks.
  const uint32_t sum = uint32_t{LoadBe16(l3 + 10)} + 0x0100;
  StoreBe16(l3 + 10, static_cast<uint16_t>(sum + (sum >> 16)));
}

void WriteInsideFrame(const InsideInterface& interface, const MacAddress& next_hop,
                      Packet* packet) {
  LowerHopLimit(packet->l3().data());
  const bool v4 = packet->l3()[0] >> 4 == 4;
  packet->TrimFront(packet->l3_offset);
  const uint32_t header = kEthernetHeader + (interface.vlan != 0 ? kTag : 0);
  uint8_t* const frame = packet->Prepend(header);
  const MacAddress own = interface.port->mac();
  std::memcpy(frame, next_hop.data(), next_hop.size());
  std::memcpy(frame + next_hop.size(), own.data(), own.size());
  if (interface.vlan != 0) {
    StoreBe16(frame + kMacs, kVlanType);
    StoreBe16(frame + kMacs + 2, interface.vlan);
  }
  StoreBe16(frame + header - 2, v4 ? kEtherTypeIpv4 : kEtherTypeIpv6);
  packet->l3_offset = static_cast<uint16_t>(header);
}

}  // namespace cygnet
