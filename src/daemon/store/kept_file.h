// That one process alone writes a file, and that the file still has its name while it does: who
// deletes or replaces it leaves the writer with a file that nobody will read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet {

// What became of the file that is open as `fd`: "PATH was deleted"; empty: `path` leads to it.
std::string WhatBecameOf(const std::string& path, int fd);

// What others did to a file while it was written: said in the log, and kept for the operator.
class Mishaps {
 public:
  explicit Mishaps(std::string file) : file_(std::move(file)) {}
  // It is mended.
  void Add(const std::string& what);
  // How often, and the last one; empty: nothing happened.
  const std::string& text() const { return text_; }

 private:
  const std::string file_;
  uint64_t count_ = 0;
  std::string text_;
};

// PATH.lock, and the file itself where it is there: a daemon whose lock somebody removed still
// keeps others out. Files that ReplaceFile makes have this lock from the start.
class WriterLock {
 public:
  // Errc::kBusy: another process writes the file.
  Status Take(const std::string& path);
  // Before a change: the lock is still the one that others meet, or is taken again. Where that
  // fails, nothing may be written.
  Status Keep(Mishaps* mishaps);
  // Of a file that was made after Take.
  Status LockData();
  // A line of the writer's in the lock, for the next writer; empty: none is there. Lines of one
  // writer have one length.
  std::string Note() const;
  Status SetNote(std::string_view line);
  // The file was replaced.
  void ReleaseData() { data_ = UniqueFd(); }

 private:
  Status TakeName();

  std::string path_;
  UniqueFd lock_;
  UniqueFd data_;
};

}  // namespace cygnet
