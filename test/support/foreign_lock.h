// A restart file's lock from before the last boot: the file beside it is then accepted as it is
// (daemon/store/record_anchor.h). For tests only.
#pragma once

#include <fstream>
#include <string>

namespace cygnet::test {

// `path`: of the restart file.
inline void WriteForeignLock(const std::string& path) {
  const std::string point = " " + std::string(16, '0') + " " + std::string(8, '0');
  std::ofstream(path + ".lock", std::ios::binary | std::ios::trunc)
      << std::string(36, '0') << point << point << "\n";
}

}  // namespace cygnet::test
