#include "client/readings.h"

namespace cygnet {

Json RequestFor(Reading reading) {
  switch (reading) {
    case Reading::kSas:
      return {{"command", "sa"}};
    case Reading::kPolicies:
      return {{"command", "policy"}};
    case Reading::kDevices:
      return {{"command", "dev"}};
    case Reading::kEngines:
      return {{"command", "engine"}};
    case Reading::kLedger:
      return {{"command", "ledger"}, {"last", kLatestEntries}};
    case Reading::kKeysHeld:
      return {{"command", "ledger"}, {"current", true}};
    case Reading::kStat:
      return {{"command", "stat"}};
    case Reading::kCluster:
      return {{"command", "cluster"}};
    case Reading::kCount:
      break;
  }
  return Json::object();
}

const Json& Readings::one(Reading reading) const {
  static const Json kNone = Json::object();
  return of(reading).empty() ? kNone : of(reading).front();
}

}  // namespace cygnet
