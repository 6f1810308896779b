// What the software NIC counts for the statistics that the driver of its card shows (`ethtool -S`).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "device/device_extras.h"

namespace cygnet {

// Bytes are those of the Ethernet frame.
enum class CardCount : uint32_t {
  kTxPackets = 1 << 0,  // sealed
  kTxBytes = 1 << 1,    // … as they leave
  kRxPackets = 1 << 2,  // opened
  kRxBytes = 1 << 3,    // … as they came
  kRxWrongIcv = 1 << 4,
  kTxPolicyPackets = 1 << 5,  // packet offload: dropped because of the policy
  kTxPolicyBytes = 1 << 6,
  kTxNoSa = 1 << 7,      // crypto offload: dropped, because the SA is not in the table
  kTxTooShort = 1 << 8,  // crypto offload: dropped, because the packet has no ESP trailer
};
inline constexpr std::size_t kCardCounts = 9;
constexpr uint32_t Bit(CardCount count) { return static_cast<uint32_t>(count); }

// Not thread-safe: protected by SimNic's lock.
class CardCounts {
 public:
  void Add(CardCount count, uint64_t n = 1);
  // `counts`: bits of CardCount.
  uint64_t Sum(uint32_t counts) const;

 private:
  std::array<uint64_t, kCardCounts> values_{};
};

// One line of `ethtool -S`.
struct CardStatistic {
  std::string_view name;
  // The sum of these, bits of CardCount. 0: the software NIC has no such event.
  uint32_t counts = 0;
};

std::vector<DeviceStatistic> StatisticsOf(std::span<const CardStatistic> names,
                                          const CardCounts& counts);

}  // namespace cygnet
