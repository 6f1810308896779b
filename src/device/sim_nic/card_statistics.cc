#include "device/sim_nic/card_statistics.h"

#include <bit>
#include <string>

namespace cygnet {

void CardCounts::Add(CardCount count, uint64_t n) {
  values_[static_cast<std::size_t>(std::countr_zero(Bit(count)))] += n;
}

uint64_t CardCounts::Sum(uint32_t counts) const {
  uint64_t sum = 0;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    if ((counts >> i & 1) != 0) sum += values_[i];
  }
  return sum;
}

std::vector<DeviceStatistic> StatisticsOf(std::span<const CardStatistic> names,
                                          const CardCounts& counts) {
  std::vector<DeviceStatistic> statistics;
  statistics.reserve(names.size());
  for (const CardStatistic& line : names) {
    statistics.push_back({std::string(line.name), counts.Sum(line.counts)});
  }
  return statistics;
}

}  // namespace cygnet
