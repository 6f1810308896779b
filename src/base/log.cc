#include "base/log.h"

#include <cstdio>

namespace cygnet {
namespace {

void StderrSink(LogLevel level, std::string_view text) {
  if (level >= LogLevel::kWarning) {
    std::fprintf(stderr, "cygnet: %.*s\n", static_cast<int>(text.size()), text.data());
  }
}

LogSink g_sink = StderrSink;

}  // namespace

void SetLogSink(LogSink sink) { g_sink = sink; }
void Log(LogLevel level, std::string_view text) { g_sink(level, text); }

}  // namespace cygnet
