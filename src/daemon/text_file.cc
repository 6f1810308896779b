#include "daemon/text_file.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace cygnet {

Result<std::string> ReadTextFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 4096> part;
  while (file.read(part.data(), part.size()) || file.gcount() > 0) {
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
  }
  // A folder opens well and fails when read.
  if (!file.is_open() || file.bad()) {
    const int error = errno != 0 ? errno : EIO;
    return MakeError(error == ENOENT ? Errc::kNoEntry : Errc::kIo,
                     path + ": " + std::strerror(error));
  }
  return text;
}

}  // namespace cygnet
