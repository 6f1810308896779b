// The files that a configuration names must be different ones: cygnetd would lock or overwrite its
// own.
#pragma once

#include <string>
#include <vector>

namespace cygnet {

struct NamedFile {
  std::string key;   // of the configuration
  std::string path;  // empty: none
  // What is appended to the path for the files that cygnetd keeps beside it.
  std::vector<std::string> beside{};
  bool written = true;  // false: only read
};

// Names both keys of the first two that are the same file, however the paths are written, unless
// both are only read. Empty: there are none.
std::string WhatIsTheSameFile(const std::vector<NamedFile>& files);

}  // namespace cygnet
