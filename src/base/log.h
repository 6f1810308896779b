// Log messages of the control path. The daemon installs a sink; libraries only send text.
#pragma once

#include <string_view>

namespace cygnet {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogSink = void (*)(LogLevel level, std::string_view text);

// Set once at start, before threads. The default sink writes warnings and errors to stderr.
void SetLogSink(LogSink sink);
void Log(LogLevel level, std::string_view text);

}  // namespace cygnet
