// WireState: a wire port's view of its interface. The control thread writes, any thread reads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/endian.h"
#include "device/port.h"
#include "packet/packet_pool.h"

namespace cygnet {

class WireState {
 public:
  // A larger MTU than Cygnet has packets for counts as kLargestMtu.
  void Start(const MacAddress& mac, uint32_t mtu) {
    StoreMac(mac);
    mtu_.store(std::min(mtu, kLargestMtu), std::memory_order_relaxed);
  }
  // If the interface is gone, its last known values stay.
  void Set(const PortLink& link) {
    if (link.ifindex != 0) Start(link.mac, link.mtu);
    SetStatus(link.status);
  }
  void SetStatus(LinkStatus status) {
    if (status_.exchange(status, std::memory_order_relaxed) == status) return;
    changes_.fetch_add(1, std::memory_order_relaxed);
  }

  LinkStatus status() const { return status_.load(std::memory_order_relaxed); }
  bool up() const { return status() == LinkStatus::kUp; }
  uint64_t changes() const { return changes_.load(std::memory_order_relaxed); }
  uint32_t mtu() const { return mtu_.load(std::memory_order_relaxed); }
  MacAddress mac() const {
    const uint64_t bytes = mac_.load(std::memory_order_relaxed);
    MacAddress mac;
    std::memcpy(mac.data(), &bytes, mac.size());
    return mac;
  }
  // Linux allows one 802.1Q tag beyond the MTU, and nothing else.
  bool Fits(const Packet& packet) const {
    constexpr uint16_t kVlan = 0x8100;
    const uint32_t untagged = mtu() + kEthernetHeader;
    return packet.length <= untagged ||
           (packet.length <= untagged + kVlanTag && LoadBe16(packet.data() + 12) == kVlan);
  }
  static constexpr uint32_t kVlanTag = 4;

 private:
  void StoreMac(const MacAddress& mac) {
    uint64_t bytes = 0;
    std::memcpy(&bytes, mac.data(), mac.size());
    mac_.store(bytes, std::memory_order_relaxed);
  }

  std::atomic<LinkStatus> status_{LinkStatus::kUp};
  std::atomic<uint32_t> mtu_{0};
  std::atomic<uint64_t> mac_{0};
  std::atomic<uint64_t> changes_{0};
};

}  // namespace cygnet
