// The site: which answer each path has.
#pragma once

#include "client/metrics.h"
#include "web/history.h"
#include "web/http_server.h"
#include "web/monitor.h"

namespace cygnet::web {

// `monitor` and `history` must outlive the server.
void AddRoutes(HttpServer* server, Monitor* monitor, History* history, const MetricsScope& scope);

}  // namespace cygnet::web
