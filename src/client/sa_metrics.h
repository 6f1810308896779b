// Metrics of SAs: sums for all, and numbers of single SAs for a bounded number of them.
#pragma once

#include <vector>

#include "client/metrics.h"
#include "client/samples.h"

namespace cygnet {

void AddSaMetrics(const std::vector<Json>& sas, std::size_t most, Samples* metrics);

// How much of its sequence numbers an SA has used, from 0 to 1: of 2^32, or of 2^64 with ESN.
double NumbersUsed(const Json& sa);

}  // namespace cygnet
