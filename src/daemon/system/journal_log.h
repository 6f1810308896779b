// Log lines as the service manager's journal takes them from standard error: a priority in front
// (sd-daemon(3)), no time stamp, since the journal has its own.
#pragma once

#include <string>
#include <string_view>

#include "base/log.h"

namespace cygnet {

// `fd` is the stream that JOURNAL_STREAM (its value, or nullptr) says is the journal's.
bool IsJournalStream(int fd, const char* journal_stream);

// "<4>text". 3: error, 4: warning, 6: info, 7: debug, as syslog numbers them.
std::string JournalLine(LogLevel level, std::string_view text);

// One line without control characters: what a message quotes from outside can neither begin a line
// with a priority of its own nor move a terminal's cursor.
std::string OneLine(std::string_view text);

}  // namespace cygnet
