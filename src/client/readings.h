// Readings: the reports of the daemon that only read, each with its one request. A program that
// serves them to others can request nothing else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "client/operator_client.h"

namespace cygnet {

enum class Reading : uint8_t {
  kSas,
  kPolicies,
  kDevices,
  kEngines,
  kLedger,    // the latest entries
  kKeysHeld,  // the entries of keys that are held now
  kStat,      // one item
  kCluster,   // one item, or none
  kCount,
};
inline constexpr std::size_t kReadings = static_cast<std::size_t>(Reading::kCount);
// How many placements and how many ended keys kLedger has.
inline constexpr uint32_t kLatestEntries = 400;

// Never with keys.
Json RequestFor(Reading reading);

class Readings {
 public:
  std::vector<Json>& of(Reading reading) { return items_[static_cast<std::size_t>(reading)]; }
  const std::vector<Json>& of(Reading reading) const {
    return items_[static_cast<std::size_t>(reading)];
  }
  // The item of kStat or kCluster; an empty object if there is none.
  const Json& one(Reading reading) const;

 private:
  std::array<std::vector<Json>, kReadings> items_;
};

}  // namespace cygnet
