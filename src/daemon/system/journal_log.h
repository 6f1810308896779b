// Log lines for the journal, which reads them from standard error: a priority in front
// (sd-daemon(3)), and no time stamp, since the journal adds its own.
#pragma once

#include <string>
#include <string_view>

#include "base/log.h"

namespace cygnet {

// Whether `fd` is the stream that the value of JOURNAL_STREAM names (nullptr: not set).
bool IsJournalStream(int fd, const char* journal_stream);

// "<4>text", with the priority numbers of syslog: 3 error, 4 warning, 6 info, 7 debug.
std::string JournalLine(LogLevel level, std::string_view text);

// One line without control characters: text that a message quotes from outside can neither start a
// line with its own priority nor move a terminal's cursor.
std::string OneLine(std::string_view text);

}  // namespace cygnet
