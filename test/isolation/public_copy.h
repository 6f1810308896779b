// PublicCopy: a build output where the user of an isolated plug-in can read it.
#pragma once

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace cygnet {

// A copy of a file in a folder that every user can read.
class PublicCopy {
 public:
  explicit PublicCopy(const std::string& file) {
    char name[] = "/tmp/cygnet-isolation.XXXXXX";
    folder_ = mkdtemp(name);
    chmod(folder_.c_str(), 0755);
    path_ = folder_ + "/" + std::filesystem::path(file).filename().string();
    std::filesystem::copy_file(file, path_);
    chmod(path_.c_str(), 0755);
  }
  ~PublicCopy() { std::filesystem::remove_all(folder_); }
  PublicCopy(const PublicCopy&) = delete;
  PublicCopy& operator=(const PublicCopy&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string folder_, path_;
};

}  // namespace cygnet
