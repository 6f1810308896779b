// Learns why an isolated plug-in has failed from its last line in the log.
#include <mutex>

#include "base/log.h"
#include "conformance/check.h"

namespace cygnet::conformance {
namespace {

std::mutex failure_lock;
std::string failure;

void Listen(LogLevel, std::string_view line) {
  constexpr std::string_view kFailed = "isolated plug-in has failed: ";
  const std::size_t at = line.find(kFailed);
  const std::lock_guard lock(failure_lock);
  if (at != std::string_view::npos && failure.empty()) failure = line.substr(at + kFailed.size());
}

}  // namespace

void WatchIsolation() { SetLogSink(Listen); }

std::string IsolationFailure() {
  const std::lock_guard lock(failure_lock);
  return failure;
}

}  // namespace cygnet::conformance
