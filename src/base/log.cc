#include "base/log.h"

#include <cstdio>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/log_limiter.h"

namespace cygnet {
namespace {

void StderrSink(LogLevel level, std::string_view text) {
  if (level >= LogLevel::kWarning) {
    std::fprintf(stderr, "cygnet: %.*s\n", static_cast<int>(text.size()), text.data());
  }
}

LogSink g_sink = StderrSink;

struct Limits {
  std::mutex mutex;
  LogLimiter by_level[4];
};

Limits& GetLimits() {
  static Limits limits;
  return limits;
}

bool Admit(LogLevel level, std::string_view text) {
  Limits& limits = GetLimits();
  const std::lock_guard lock(limits.mutex);
  return limits.by_level[static_cast<int>(level)].Admit(text, SystemClock().MonotonicNs());
}

}  // namespace

void SetLogSink(LogSink sink) { g_sink = sink; }

void Log(LogLevel level, std::string_view text) {
  // Debug logging was requested explicitly, so it is complete.
  if (level == LogLevel::kDebug || Admit(level, text)) g_sink(level, text);
}

void LogLeftOut() {
  Limits& limits = GetLimits();
  for (const LogLevel level : {LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    std::vector<LogLimiter::LeftOut> left_out;
    {
      const std::lock_guard lock(limits.mutex);
      left_out = limits.by_level[static_cast<int>(level)].TakeLeftOut(SystemClock().MonotonicNs());
    }
    for (const auto& [lines, example] : left_out) {
      g_sink(level, "log: left out " + std::to_string(lines) + " lines like: " + example);
    }
  }
}

}  // namespace cygnet
