#include "daemon/system/file_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/text_file.h"

namespace cygnet {
namespace {

// Not IN_MODIFY: the daemon itself writes at every change. Other writers also close the file.
constexpr uint32_t kEvents = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE |
                             IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

// Events that concern all files: those of the folder itself, and a queue overflow.
constexpr uint32_t kOfAll = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT | IN_Q_OVERFLOW;

}  // namespace

Result<std::unique_ptr<FileWatch>> FileWatch::Create() {
  UniqueFd fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd.valid()) return FileError("inotify");
  return std::unique_ptr<FileWatch>(new FileWatch(std::move(fd)));
}

Status FileWatch::Add(const std::string& path, std::function<void()> changed) {
  const std::filesystem::path whole(path);
  const std::string folder = whole.parent_path().empty() ? "." : whole.parent_path().string();
  File file{.folder = folder, .name = whole.filename().string(), .changed = std::move(changed)};
  CYGNET_RETURN_IF_ERROR(Follow(&file));
  files_.push_back(std::move(file));
  return {};
}

// For a folder that is watched already, the kernel returns the same number.
Status FileWatch::Follow(File* file) {
  const int watch = inotify_add_watch(fd_.get(), file->folder.c_str(), kEvents);
  if (watch < 0) return FileError("inotify: " + file->folder);
  file->touched = file->touched || (file->watch >= 0 && watch != file->watch);
  file->watch = watch;
  return {};
}

void FileWatch::Touch(int watch, const std::string& name) {
  for (File& file : files_) {
    const bool is_its_own = name == file.name || name == file.name + ".lock";
    if (watch == -1 || (watch == file.watch && (name.empty() || is_its_own))) file.touched = true;
  }
}

void FileWatch::Drain() {
  alignas(inotify_event) std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t size = read(fd_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(size);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      // The name is padded with zeros.
      const std::string name(
          event.len == 0 || (event.mask & kOfAll) != 0 ? "" : buffer.data() + at + sizeof(event));
      Touch((event.mask & IN_Q_OVERFLOW) != 0 ? -1 : event.wd, name);
      at += sizeof(event) + event.len;
    }
  }
  for (File& file : files_) {
    if (std::exchange(file.touched, false)) file.changed();
  }
}

void FileWatch::Renew() {
  for (File& file : files_) (void)Follow(&file);  // a missing folder is tried again next time
  Drain();
}

}  // namespace cygnet
