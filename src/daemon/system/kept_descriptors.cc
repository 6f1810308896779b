#include "daemon/system/kept_descriptors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr int kFirstDescriptor = 3;  // SD_LISTEN_FDS_START

}  // namespace

void WipeMemory(int fd) {
  struct stat info {};
  if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &info) != 0) return;
  static constexpr std::array<char, 64 * 1024> kZeroes{};
  off_t at = lseek(fd, 0, SEEK_DATA);
  while (at >= 0 && at < info.st_size) {
    const off_t end = lseek(fd, at, SEEK_HOLE);
    while (at < end) {
      const auto left = static_cast<std::size_t>(end - at);
      const ssize_t n = pwrite(fd, kZeroes.data(), std::min(left, kZeroes.size()), at);
      if (n <= 0) return;
      at += n;
    }
    at = lseek(fd, at, SEEK_DATA);
  }
}

KeptDescriptors KeptDescriptors::FromEnvironment(ServiceManager* manager) {
  KeptDescriptors kept(manager);
  const auto pid = ToNumber(TakeVariable("LISTEN_PID"));
  const auto count = ToNumber(TakeVariable("LISTEN_FDS"));
  const std::string names = TakeVariable("LISTEN_FDNAMES").value_or("");
  if (pid != static_cast<uint64_t>(getpid()) || !count) return kept;
  std::string_view rest = names;
  for (int i = 0; i < static_cast<int>(*count); ++i) {
    const int fd = kFirstDescriptor + i;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) break;  // there are fewer than was said
    const std::string_view name = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    kept.left_.emplace(name, UniqueFd(fd));
  }
  return kept;
}

UniqueFd KeptDescriptors::Take(const std::string& name) {
  const auto found = left_.find(name);
  if (found == left_.end()) return {};
  UniqueFd fd = std::move(found->second);
  left_.erase(found);
  return fd;
}

void KeptDescriptors::Keep(const std::string& name, int fd) {
  if (!works()) return;
  manager_->Discard(name);
  const Status stored = manager_->Store(name, fd);
  if (!stored) {
    Log(LogLevel::kWarning,
        "the service manager cannot keep " + name + " for a restart: " + stored.error().message);
  }
}

void KeptDescriptors::Discard(const std::string& name) {
  if (!works()) return;
  manager_->Discard(name);
  (void)manager_->Barrier();  // a late answer delays the next use of the name, which says so
}

void KeptDescriptors::DiscardRest() {
  std::set<std::string> names;
  for (const auto& [name, fd] : left_) {
    names.insert(name);
    WipeMemory(fd.get());
  }
  for (const std::string& name : names) manager_->Discard(name);
  left_.clear();
}

}  // namespace cygnet
