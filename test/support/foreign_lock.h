// The lock of a restart file from before the machine started: the file beside it is taken as it is
// (daemon/record_anchor.h). For tests only.
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
