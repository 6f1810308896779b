// `cygnet metrics`: the daemon's reports in the text format of Prometheus (version 0.0.4).
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

#include "base/result.h"
#include "client/operator_client.h"
#include "client/readings.h"

namespace cygnet {

// What goes beyond the metrics of each daemon.
struct MetricsScope {
  std::size_t per_sa = 0;  // SAs with metrics of their own: those with the most bytes
  // The counters of /proc/net/xfrm_stat also as node_exporter names them, for dashboards and alerts
  // of the kernel's IPsec. Not for a text that node_exporter itself serves.
  bool node_exporter_names = false;
};

std::string MetricsText(const Readings& readings, const MetricsScope& scope = {});

// Requests all reports that MetricsText uses, one after the other.
Status PrintMetrics(OperatorClient* client, FILE* out);

}  // namespace cygnet
