#include "daemon/system/journal_log.h"

#include <fmt/format.h>
#include <sys/stat.h>

namespace cygnet {

bool IsJournalStream(int fd, const char* journal_stream) {
  struct stat status {};
  return journal_stream != nullptr && fstat(fd, &status) == 0 &&
         journal_stream == fmt::format("{}:{}", status.st_dev, status.st_ino);
}

std::string JournalLine(LogLevel level, std::string_view text) {
  static constexpr char kPriorities[] = {'7', '6', '4', '3'};
  return fmt::format("<{}>{}", kPriorities[static_cast<int>(level)], OneLine(text));
}

std::string OneLine(std::string_view text) {
  std::string line;
  line.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      line += byte == '\n' || byte == '\t' ? std::string(1, ' ') : fmt::format("\\x{:02x}", byte);
    } else {
      line += c;
    }
  }
  return line;
}

}  // namespace cygnet
