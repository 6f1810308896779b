// Log messages of the control path. The daemon installs a sink; libraries only send text.
#pragma once

#include <string_view>

namespace cygnet {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogSink = void (*)(LogLevel level, std::string_view text);

// Set once at start, before threads. The default sink writes warnings and errors to stderr.
void SetLogSink(LogSink sink);
// Of one kind of line no more than a burst and then a trickle is written (base/log_limiter.h).
void Log(LogLevel level, std::string_view text);
// Writes how many lines were left out since the last call, and of what kind. Once a second is
// right.
void LogLeftOut();

}  // namespace cygnet
