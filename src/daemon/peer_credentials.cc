#include "daemon/peer_credentials.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

namespace cygnet {
namespace {

constexpr unsigned kCapNetAdmin = 12;
constexpr unsigned kCapSysPtrace = 19;
constexpr int kSoPeerPidFd = 77;  // SO_PEERPIDFD, Linux 6.5

std::string ReadSmallFile(const std::string& path) {
  std::string text(8192, '\0');
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  const ssize_t got = read(fd, text.data(), text.size());
  close(fd);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

// The n-th word after `name` in /proc/PID/status, as a number of that base.
std::optional<uint64_t> StatusField(std::string_view status, std::string_view name, int word,
                                    int base) {
  const std::size_t at = status.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = status.substr(at + name.size());
  const std::string line(rest.substr(0, rest.find('\n')));
  const char* p = line.c_str();
  uint64_t value = 0;
  for (int i = 0; i <= word; ++i) {
    char* end = nullptr;
    value = std::strtoull(p, &end, base);
    if (end == p) return std::nullopt;
    p = end;
  }
  return value;
}

bool SameUserNamespace(const std::string& process) {
  struct stat theirs {};
  struct stat ours {};
  return stat((process + "/ns/user").c_str(), &theirs) == 0 &&
         stat("/proc/self/ns/user", &ours) == 0 && theirs.st_dev == ours.st_dev &&
         theirs.st_ino == ours.st_ino;
}

// A pidfd becomes readable when its process is gone.
bool StillRunning(int pidfd) {
  pollfd p{.fd = pidfd, .events = POLLIN, .revents = 0};
  return poll(&p, 1, 0) == 0;
}

bool HoldsNetAdmin(const ucred& peer) {
  const std::string process = "/proc/" + std::to_string(peer.pid);
  const std::string status = ReadSmallFile(process + "/status");
  const auto capabilities = StatusField(status, "\nCapEff:", 0, 16);
  const auto effective_uid = StatusField(status, "\nUid:", 1, 10);
  // The uid is the one at connect(): a process that gained privilege by a set-uid exec since then
  // does not lend it to a socket it opened before.
  return capabilities && (*capabilities >> kCapNetAdmin & 1) != 0 &&
         effective_uid == uint64_t{peer.uid} && SameUserNamespace(process);
}

}  // namespace

bool PeerIsNetAdmin(int fd) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0) return false;
  int pidfd = -1;
  length = sizeof(pidfd);
  const bool has_pidfd = getsockopt(fd, SOL_SOCKET, kSoPeerPidFd, &pidfd, &length) == 0;
  bool allowed = HoldsNetAdmin(peer);
  // If the process ended meanwhile, its number may already have been another's when we looked.
  if (has_pidfd) {
    allowed = allowed && StillRunning(pidfd);
    close(pidfd);
  }
  return allowed;
}

bool MaySeeEveryPeer() {
  const auto capabilities = StatusField(ReadSmallFile("/proc/self/status"), "\nCapEff:", 0, 16);
  return capabilities && (*capabilities >> kCapSysPtrace & 1) != 0;
}

}  // namespace cygnet
