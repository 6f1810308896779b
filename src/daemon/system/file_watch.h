// FileWatch: says at once that somebody made, replaced, moved, deleted or wrote one of the files
// that the daemon keeps (inotify on their folders), so that it is mended before the daemon can be
// killed. What the daemon does itself it hears, too: whoever is told looks what it was.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet {

// Control thread.
class FileWatch {
 public:
  // An error: the system has no watch left to give; then only looking now and then tells.
  static Result<std::unique_ptr<FileWatch>> Create();

  // The file at `path`, whether it is there or not, and its lock (`path`.lock).
  Status Add(const std::string& path, std::function<void()> changed);
  // Readable when something happened; Drain calls `changed` of each file that it was about.
  int event_fd() const { return fd_.get(); }
  void Drain();
  // About once a second: a folder that was itself replaced is followed under its name.
  void Renew();

 private:
  struct File {
    std::string folder;
    std::string name;
    std::function<void()> changed;
    int watch = -1;
    bool touched = false;
  };
  explicit FileWatch(UniqueFd fd) : fd_(std::move(fd)) {}
  Status Follow(File* file);
  void Touch(int watch, const std::string& name);

  const UniqueFd fd_;
  std::vector<File> files_;
};

}  // namespace cygnet
