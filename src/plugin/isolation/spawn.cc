#include "plugin/isolation/spawn.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/errno_error.h"
#include "plugin/isolation/protocol.h"

namespace cygnet::isolation {
namespace {

struct User {
  uint32_t user = kSameUser, group = kSameUser;
};

// Only root can become somebody else, and must.
Result<User> UserOf(const std::string& name) {
  if (geteuid() != 0) return User{};
  std::vector<char> room(16384);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwnam_r(name.c_str(), &entry, room.data(), room.size(), &found) != 0 || found == nullptr) {
    return MakeError(Errc::kNoEntry,
                     "isolate_user: there is no user \"" + name + "\" on this machine");
  }
  if (entry.pw_uid == 0 || entry.pw_gid == 0) {
    return MakeError(Errc::kInvalid, "isolate_user: \"" + name +
                                         "\" is root; name a user without rights, such as nobody");
  }
  return User{entry.pw_uid, entry.pw_gid};
}

// A build tree and an installed tree that was moved have it at a place of their own.
std::string FindProgram() {
  std::array<char, 4096> self{};
  if (readlink("/proc/self/exe", self.data(), self.size() - 1) <= 0) return CYGNET_PLUGIN_HOST;
  std::string folder(self.data());
  for (std::size_t end = folder.rfind('/'); end != std::string::npos; end = folder.rfind('/')) {
    folder.resize(end);
    for (const char* place :
         {"/libexec/cygnet/cygnet-plugin-host", "/src/plugin/isolation/child/cygnet-plugin-host"}) {
      if (access((folder + place).c_str(), X_OK) == 0) return folder + place;
    }
  }
  return CYGNET_PLUGIN_HOST;
}

struct SocketPair {
  UniqueFd ours, theirs;
};

Result<SocketPair> MakePair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    return ErrnoError("sockets for a plug-in");
  }
  return SocketPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Descriptors, signals and session of the new process.
class SpawnActions {
 public:
  SpawnActions() {
    posix_spawn_file_actions_init(&files_);
    posix_spawnattr_init(&attributes_);
    for (int fd = 0; fd < 3; ++fd) {
      posix_spawn_file_actions_addopen(&files_, fd, "/dev/null", O_RDWR, 0);
    }
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  }
  ~SpawnActions() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;

  // `fd` becomes `number` in the child. Through a copy above the numbers that are assigned.
  bool Give(int fd, int number) {
    UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 64));
    if (!copy.valid()) return false;
    posix_spawn_file_actions_adddup2(&files_, copy.get(), number);
    copies_[static_cast<std::size_t>(number - kControlFd)] = std::move(copy);
    return true;
  }
  int Run(const char* program, char* const* words, pid_t* pid) {
    posix_spawn_file_actions_addclosefrom_np(&files_, kPageFd + 1);
    char* const environment[] = {nullptr};
    return posix_spawn(pid, program, &files_, &attributes_, words, environment);
  }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
  std::array<UniqueFd, 3> copies_;
};

}  // namespace

Result<SpawnedChild> SpawnChild(const SpawnOrder& order) {
  auto user = UserOf(order.user);
  if (!user) return user.error();
  auto control = MakePair();
  if (!control) return control.error();
  auto events = MakePair();
  if (!events) return events.error();
  // Otherwise its name would not be in the error of posix_spawn.
  if (!UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)).valid()) {
    const int error = errno;
    return MakeError(static_cast<Errc>(error),
                     std::string("/dev/null, standard input and output of a plug-in's process: ") +
                         std::strerror(error) + "; it must be a device with mode 0666");
  }
  SpawnActions actions;
  if (!actions.Give(control->theirs.get(), kControlFd) ||
      !actions.Give(events->theirs.get(), kEventFd) || !actions.Give(order.page, kPageFd)) {
    return ErrnoError("descriptors for a plug-in");
  }
  const std::string program = order.program.empty() ? FindProgram() : order.program;
  std::vector<std::string> words = {program,
                                    order.kind,
                                    order.plugin,
                                    std::to_string(getpid()),
                                    std::to_string(user->user),
                                    std::to_string(user->group),
                                    "1"};
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  SpawnedChild child;
  if (const int error = actions.Run(program.c_str(), pointers.data(), &child.pid); error != 0) {
    return MakeError(
        static_cast<Errc>(error),
        program + ", the process of isolated plug-ins, does not start: " + std::strerror(error));
  }
  child.pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, child.pid, 0)));
  if (!child.pidfd.valid()) {
    (void)kill(child.pid, SIGKILL);
    return ErrnoError("pidfd_open");
  }
  child.control = std::move(control->ours);
  child.events = std::move(events->ours);
  return child;
}

}  // namespace cygnet::isolation
