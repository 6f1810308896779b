// `cygnet metrics`: the daemon's reports in the text format of Prometheus (version 0.0.4).
#pragma once

#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/operator_client.h"

namespace cygnet {

// What the reports are made of, as `cygnet -j` prints them.
struct MetricsInput {
  std::vector<Json> sas;
  std::vector<Json> devices;
  std::vector<Json> engines;
  std::vector<Json> ledger;  // what is held now, and the summary
  Json stat = Json::object();
};

std::string MetricsText(const MetricsInput& input);

// Asks for all of it, one report after the other.
Status PrintMetrics(OperatorClient* client, FILE* out);

}  // namespace cygnet
