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

// The reports, as `cygnet -j` prints them.
struct MetricsInput {
  std::vector<Json> sas;
  std::vector<Json> devices;
  std::vector<Json> engines;
  std::vector<Json> ledger;  // the keys that are held now, and the summary
  Json stat = Json::object();
  Json cluster = Json::object();  // empty: this host is in no cluster
};

std::string MetricsText(const MetricsInput& input);

// Requests all reports, one after the other.
Status PrintMetrics(OperatorClient* client, FILE* out);

}  // namespace cygnet
