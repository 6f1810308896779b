// FileWatch: reports at once that a file which the daemon keeps was created, replaced, moved,
// deleted or written (inotify on its folder), so that damage is repaired before the daemon can be
// killed. It also reports the daemon's own changes: the callback must check what happened.
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
  // An error: the system has no inotify instance left; then the caller must poll.
  static Result<std::unique_ptr<FileWatch>> Create();

  // Watches the file at `path`, whether it exists or not, and its lock (`path`.lock).
  Status Add(const std::string& path, std::function<void()> changed);
  // Readable when something happened; Drain calls `changed` of each affected file.
  int event_fd() const { return fd_.get(); }
  void Drain();
  // Watches a folder that was itself replaced. Call it about once a second.
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
