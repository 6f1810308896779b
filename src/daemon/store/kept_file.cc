#include "daemon/store/kept_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "base/text_file.h"

namespace cygnet {

std::string WhatBecameOf(const std::string& path, int fd) {
  struct stat ours {};
  if (fstat(fd, &ours) != 0) return FileError(path).message;
  struct stat named {};
  return WhatBecameOf(path, FileIdentity::Of(ours), &named);
}

std::string WhatBecameOf(const std::string& path, const FileIdentity& ours, struct stat* named) {
  if (lstat(path.c_str(), named) != 0) {
    return errno == ENOENT ? path + " was deleted" : FileError(path).message;
  }
  if (!S_ISREG(named->st_mode))
    return path + " was replaced by something that is not a regular file";
  return FileIdentity::Of(*named) == ours ? std::string() : path + " was replaced by another file";
}

void Mishaps::Add(const std::string& what) {
  ++count_;
  text_ = what + " while cygnetd ran (" + std::to_string(count_) + " such events)";
  Log(LogLevel::kError, file_ + ": " + what + " while cygnetd runs; cygnetd restored it");
}

Status WriterLock::Take(const std::string& path) {
  path_ = path;
  CYGNET_RETURN_IF_ERROR(TakeName());
  return LockData();
}

Status WriterLock::TakeName() {
  const std::string name = path_ + ".lock";
  UniqueFd lock(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!lock.valid()) return FileError(name);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return MakeError(Errc::kBusy, path_ + ": another cygnetd writes this file");
  }
  struct stat info {};
  if (fstat(lock.get(), &info) != 0) return FileError(name);
  identity_ = FileIdentity::Of(info);
  lock_ = std::move(lock);
  return {};
}

Status WriterLock::LockData() {
  if (data_.valid()) return {};
  UniqueFd data(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!data.valid()) return {};  // the reader reports what is wrong
  if (flock(data.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return MakeError(Errc::kBusy, path_ + ": another cygnetd writes this file");
  }
  data_ = std::move(data);
  return {};
}

std::string WriterLock::Note() const {
  std::array<char, 256> text;
  const ssize_t size = pread(lock_.get(), text.data(), text.size(), 0);
  return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : std::string();
}

Status WriterLock::ReplaceNote(std::string_view line) {
  const auto size = static_cast<ssize_t>(line.size());
  if (pwrite(lock_.get(), line.data(), line.size(), 0) != size) return FileError(path_ + ".lock");
  return {};
}

Status WriterLock::SetNote(std::string_view line) {
  CYGNET_RETURN_IF_ERROR(ReplaceNote(line));
  const auto size = static_cast<off_t>(line.size());
  // There may be more behind it, by somebody else.
  struct stat info {};
  if (fstat(lock_.get(), &info) == 0 && info.st_size == size) return {};
  if (ftruncate(lock_.get(), size) == 0) return {};
  return FileError(path_ + ".lock");
}

Status WriterLock::Keep(Mishaps* mishaps) {
  struct stat named {};
  const std::string what = WhatBecameOf(path_ + ".lock", identity_, &named);
  if (what.empty()) return {};
  if (const Status again = TakeName(); !again) {
    return MakeError(again.error().code, what + "; cannot lock it again: " + again.error().message);
  }
  mishaps->Add(what);
  return {};
}

}  // namespace cygnet
