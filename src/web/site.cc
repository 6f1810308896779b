#include "web/site.h"

#include <charconv>
#include <chrono>
#include <memory>
#include <optional>

#include "web/page_files.h"

namespace cygnet::web {
namespace {

constexpr char kJsonType[] = "application/json; charset=utf-8";
constexpr std::chrono::seconds kQuiet{5};

// /metrics says that the daemon is away; an alert needs something to look at.
std::string MetricsOf(const Look* look, const MetricsScope& scope) {
  const bool up = look != nullptr && look->error.empty();
  std::string text =
      "# HELP cygnet_daemon_up 1: cygnetd answers.\n# TYPE cygnet_daemon_up gauge\n"
      "cygnet_daemon_up ";
  text += up ? "1\n" : "0\n";
  if (up) text += MetricsText(look->readings, scope);
  return text;
}

void AddPage(HttpServer* server) {
  for (const PageFile& file : PageFiles()) {
    // The dot of a name is a pattern of cpp-httplib's; more than these paths it does not match.
    server->Get(std::string(file.path), [&file](const httplib::Request&, httplib::Response& out) {
      out.set_content(file.content.data(), file.content.size(), std::string(file.type));
    });
  }
}

// One event for each look. The connection ends with the first client that does not take it.
bool SendNext(Monitor* monitor, uint64_t* number, httplib::DataSink* sink) {
  if (!sink->is_writable()) return false;
  const auto look = monitor->After(*number, kQuiet);
  if (look == nullptr) {
    constexpr std::string_view kComment = ": still here\n\n";
    return sink->write(kComment.data(), kComment.size());
  }
  *number = look->number;
  const std::string text = "event: look\ndata: " + look->view + "\n\n";
  return sink->write(text.data(), text.size());
}

void AddEvents(HttpServer* server, Monitor* monitor) {
  server->Get("/events", [monitor](const httplib::Request&, httplib::Response& out) {
    auto watcher = std::make_shared<Monitor::Watcher>(monitor, HttpServer::kMostPages);
    if (!watcher->valid()) {
      out.status = 503;
      out.set_header("Retry-After", "30");
      out.set_content("As many pages are open as this server has connections for. Close one.\n",
                      "text/plain; charset=utf-8");
      return;
    }
    auto number = std::make_shared<uint64_t>(0);
    out.set_chunked_content_provider(
        "text/event-stream", [monitor, number, watcher](std::size_t, httplib::DataSink& sink) {
          if (monitor->stopped()) {
            sink.done();
            return false;
          }
          return SendNext(monitor, number.get(), &sink);
        });
  });
}

// "hours" of a request, 1 to a month; 24 if it is not given.
std::optional<int64_t> HoursOf(const httplib::Request& request) {
  if (!request.has_param("hours")) return 24;
  const std::string text = request.get_param_value("hours");
  int64_t hours = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), hours);
  if (error != std::errc() || end != text.data() + text.size() || hours < 1 || hours > 31 * 24) {
    return std::nullopt;
  }
  return hours;
}

void AddHistory(HttpServer* server, History* history) {
  server->Get("/api/history", [history](const httplib::Request& request, httplib::Response& out) {
    const auto hours = HoursOf(request);
    if (!hours) {
      out.status = 400;
      out.set_content("hours: a number from 1 to 744\n", "text/plain; charset=utf-8");
      return;
    }
    const int64_t now = std::chrono::duration_cast<std::chrono::seconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count();
    out.set_content(history->Since(now - *hours * 3600, now)
                        .dump(-1, ' ', false, Json::error_handler_t::replace),
                    kJsonType);
  });
}

}  // namespace

void AddRoutes(HttpServer* server, Monitor* monitor, History* history, const MetricsScope& scope) {
  AddPage(server);
  AddEvents(server, monitor);
  AddHistory(server, history);
  server->Get("/metrics", [monitor, scope](const httplib::Request&, httplib::Response& out) {
    out.set_content(MetricsOf(monitor->Fresh().get(), scope),
                    "text/plain; version=0.0.4; charset=utf-8");
  });
  server->Get("/api/look", [monitor](const httplib::Request&, httplib::Response& out) {
    const auto look = monitor->Fresh();
    if (look == nullptr) {
      out.status = 503;
      out.set_content("cygnetd has not been read yet.\n", "text/plain; charset=utf-8");
      return;
    }
    out.set_content(look->view, kJsonType);
  });
}

}  // namespace cygnet::web
