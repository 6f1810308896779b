// Which frames that are not IP may pass, where policy cannot see what they carry: ARP, and what the
// operator lists.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "net/ethernet.h"

namespace cygnet {

inline constexpr uint32_t kArpLength = 28;  // of Ethernet and IPv4 (RFC 826)

// A request or reply of ARP for IPv4 over Ethernet, from `l3` on; Ethernet may pad it.
bool IsArp(std::span<const uint8_t> l3);

// Control sets it, any thread asks.
class EtherTypes {
 public:
  static constexpr std::size_t kMax = 16;

  // REQUIRES: no more than kMax.
  void Set(std::span<const uint16_t> types) {
    for (std::size_t i = 0; i < kMax; ++i) {
      types_[i].store(i < types.size() ? types[i] : uint16_t{0}, std::memory_order_relaxed);
    }
  }
  // False for lengths (IEEE 802.3 frames, LLC), whatever was set.
  bool Has(uint16_t type) const {
    if (type < kFirstEtherType) return false;
    for (const auto& listed : types_) {
      if (listed.load(std::memory_order_relaxed) == type) return true;
    }
    return false;
  }
  // May the frame pass that ParseEtherType gave `type` of? REQUIRES: it is not IP.
  bool MayPass(const EtherTypeView& type, std::span<const uint8_t> frame) const {
    return type.type == kEtherTypeArp ? IsArp(frame.subspan(type.l3_offset)) : Has(type.type);
  }

 private:
  std::array<std::atomic<uint16_t>, kMax> types_{};
};

// A type that carries IP, or frames with IP, which policy would not see there: nobody may list it.
bool CarriesIp(uint16_t type);

}  // namespace cygnet
