// Makes sure that only one process writes a file, and that the file still has its name: after
// somebody deletes or replaces it, the writer would write a file that nobody reads.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet {

// What happened to the file that is open as `fd`: "PATH was deleted". Empty: `path` still names it.
std::string WhatBecameOf(const std::string& path, int fd);

// Which file a descriptor has. No other file has the same while it is open.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  static FileIdentity Of(const struct stat& info) { return {info.st_dev, info.st_ino}; }
  bool operator==(const FileIdentity&) const = default;
};
// The same without a question about the descriptor. `named`: what `path` leads to, if that is it.
std::string WhatBecameOf(const std::string& path, const FileIdentity& ours, struct stat* named);

// What others did to a file while the daemon ran: logged, and kept for the operator.
class Mishaps {
 public:
  explicit Mishaps(std::string file) : file_(std::move(file)) {}
  // REQUIRES: the damage is repaired.
  void Add(const std::string& what);
  // The last event and the number of events; empty: nothing happened.
  const std::string& text() const { return text_; }

 private:
  const std::string file_;
  uint64_t count_ = 0;
  std::string text_;
};

// Locks PATH.lock, and the file itself if it exists, so that a daemon whose PATH.lock was removed
// still keeps others out. Files that ReplaceFile makes have the second lock from the start.
class WriterLock {
 public:
  // Errc::kBusy: another process writes the file.
  Status Take(const std::string& path);
  // Call it before a change: checks that PATH.lock is still ours, or takes the lock again. If it
  // fails, nothing may be written.
  Status Keep(Mishaps* mishaps);
  // Locks a file that was made after Take.
  Status LockData();
  // A line in PATH.lock from the writer to the next writer; empty: none. All lines of a writer have
  // the same length.
  std::string Note() const;
  Status SetNote(std::string_view line);
  // The same, but what somebody else wrote behind it stays: it shows in Note.
  Status ReplaceNote(std::string_view line);
  // Call it after the file was replaced.
  void ReleaseData() { data_ = UniqueFd(); }

 private:
  Status TakeName();

  std::string path_;
  UniqueFd lock_;
  FileIdentity identity_;  // of the lock
  UniqueFd data_;
};

}  // namespace cygnet
