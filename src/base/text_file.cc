#include "base/text_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/errno_error.h"

namespace cygnet {
namespace {

std::string FolderOf(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

bool WriteAll(int fd, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = ENOSPC;
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

Error FileError(const std::string& path) {
  const int error = errno != 0 ? errno : EIO;
  const Errc code = error == ENOENT                      ? Errc::kNoEntry
                    : error == ENOSPC || error == EDQUOT ? Errc::kNoSpace
                                                         : Errc::kIo;
  return ErrnoError(code, path, error);
}

Status CheckOwner(const std::string& path, const struct stat& info) {
  if (!S_ISREG(info.st_mode)) return MakeError(Errc::kInvalid, path + ": not a regular file");
  if (info.st_uid != geteuid() && info.st_uid != 0) {
    return MakeError(Errc::kPermission, path + ": owned by another user");
  }
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return MakeError(Errc::kPermission, path + ": other users may write it");
  }
  return {};
}

Result<std::string> ReadTextFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 4096> part;
  while (file.read(part.data(), part.size()) || file.gcount() > 0) {
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
  }
  // Opening a folder succeeds; reading it fails.
  if (!file.is_open() || file.bad()) return FileError(path);
  return text;
}

Result<std::string> ReadOwnFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid() && errno == ELOOP) {
    return MakeError(Errc::kInvalid, path + ": is a symbolic link");
  }
  struct stat info {};
  if (!fd.valid() || fstat(fd.get(), &info) != 0) return FileError(path);
  CYGNET_RETURN_IF_ERROR(CheckOwner(path, info));
  std::string text;
  std::array<char, 65536> part;
  for (;;) {
    const ssize_t size = read(fd.get(), part.data(), part.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return FileError(path);
    if (size == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
}

Result<UniqueFd> ReplaceFile(const std::string& path, std::span<const uint8_t> bytes) {
  const std::string fresh = path + ".new";
  (void)unlink(fresh.c_str());  // left by a killed daemon, or planted for us to follow
  UniqueFd fd(open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return FileError(fresh);
  (void)flock(fd.get(), LOCK_EX | LOCK_NB);  // nobody else has it open
  if (!WriteAll(fd.get(), bytes) || fsync(fd.get()) != 0) {
    const Error error = FileError(fresh);
    (void)unlink(fresh.c_str());
    return error;
  }
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    const Error error = FileError(path);
    (void)unlink(fresh.c_str());
    return error;
  }
  const UniqueFd folder(open(FolderOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.valid()) (void)fsync(folder.get());
  return fd;
}

Status CheckWritable(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) return MakeError(Errc::kInvalid, path + ": not a regular file");
    if (access(path.c_str(), W_OK) != 0) return FileError(path);
  }
  // Try it: access() tells root that it may write even where no file can be created.
  const std::string probe = path + ".check";
  const UniqueFd fd(
      open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return errno == EEXIST ? Status{} : FileError(FolderOf(path));
  unlink(probe.c_str());
  return {};
}

}  // namespace cygnet
