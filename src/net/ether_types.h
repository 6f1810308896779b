// Non-IP frames that may pass although policy cannot inspect them: ARP, and the ether types that
// the operator lists.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "net/ethernet.h"

namespace cygnet {

inline constexpr uint32_t kArpLength = 28;  // for Ethernet and IPv4 (RFC 826)

// True for an ARP request or reply for IPv4 over Ethernet that starts at `l3`. Ethernet padding may
// follow.
bool IsArp(std::span<const uint8_t> l3);

// The control thread sets it; any thread may read it.
class EtherTypes {
 public:
  static constexpr std::size_t kMax = 16;

  // REQUIRES: types.size() ≤ kMax.
  void Set(std::span<const uint16_t> types) {
    for (std::size_t i = 0; i < kMax; ++i) {
      types_[i].store(i < types.size() ? types[i] : uint16_t{0}, std::memory_order_relaxed);
    }
  }
  // Always false for a length (IEEE 802.3 frames, LLC).
  bool Has(uint16_t type) const {
    if (type < kFirstEtherType) return false;
    for (const auto& listed : types_) {
      if (listed.load(std::memory_order_relaxed) == type) return true;
    }
    return false;
  }
  // Whether the frame may pass. `type` comes from ParseEtherType. REQUIRES: it is not IP.
  bool MayPass(const EtherTypeView& type, std::span<const uint8_t> frame) const {
    return type.type == kEtherTypeArp ? IsArp(frame.subspan(type.l3_offset)) : Has(type.type);
  }

 private:
  std::array<std::atomic<uint16_t>, kMax> types_{};
};

// True for types that can carry IP or frames with IP, which policy would not see. They may not be
// listed.
bool CarriesIp(uint16_t type);

}  // namespace cygnet
