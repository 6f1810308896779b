// Log messages of the control path. The daemon installs a sink; libraries only pass text.
#pragma once

#include <string_view>

namespace cygnet {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogSink = void (*)(LogLevel level, std::string_view text);

// Set once at start, before any thread. The default sink writes warnings and errors to stderr.
void SetLogSink(LogSink sink);
// Repeated lines of one kind are rate-limited (base/log_limiter.h), except at kDebug.
void Log(LogLevel level, std::string_view text);
// Logs how many lines of each kind were suppressed since the last call. Call it about once a
// second.
void LogLeftOut();

}  // namespace cygnet
