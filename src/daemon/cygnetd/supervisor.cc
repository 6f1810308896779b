#include "daemon/cygnetd/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "daemon/system/kept_descriptors.h"
#include "daemon/system/service_manager.h"

namespace cygnet {
namespace {

constexpr int kFirstDescriptor = 3;  // SD_LISTEN_FDS_START
constexpr std::size_t kMostDescriptors = 512;
constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kWatchdogNs = 10'000 * kMs;
constexpr uint64_t kLivedNs = 10'000 * kMs;  // a child that lived so long did not fail at its start
constexpr uint64_t kLongestPauseNs = 5'000 * kMs;
constexpr uint64_t kEndNs = 20'000 * kMs;  // an orderly end takes no longer (TimeoutStopSec=)

struct Kept {
  std::string name;
  UniqueFd fd;
};

// A datagram of the child.
struct Notice {
  std::string text;
  std::vector<UniqueFd> fds;

  bool Has(std::string_view line) const { return Find(line).has_value(); }
  // The rest of the line that begins so.
  std::optional<std::string> Find(std::string_view begin) const {
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.substr(0, begin.size()) == begin) return std::string(line.substr(begin.size()));
    }
    return std::nullopt;
  }
};

void Say(const std::string& text) {
  std::fprintf(stderr, "cygnetd --supervise: %s\n", text.c_str());
}

class Supervisor {
 public:
  explicit Supervisor(std::vector<std::string> arguments)
      : arguments_(std::move(arguments)), above_(ServiceManager::FromEnvironment()) {}

  bool Prepare();
  int Run();

 private:
  bool Start();
  [[noreturn]] void BecomeChild(pid_t parent);
  void Wait(int timeout_ms);
  void OnSignals();
  void OnNotice();
  std::optional<Notice> Receive() const;
  void Store(Notice* notice);
  void PassOn(const Notice& notice);
  void OnChildEnd(int status);
  uint64_t PauseNs() const;
  void KillIfItHangs(uint64_t now);
  void EndChild();
  void Forward(int signal) const {
    if (child_ > 0) kill(child_, signal);
  }

  const std::vector<std::string> arguments_;
  const ServiceManager above_;
  const SystemClock clock_;
  std::string program_;
  std::string address_;  // NOTIFY_SOCKET of the child
  UniqueFd notices_;
  UniqueFd signals_;
  sigset_t before_{};
  std::vector<Kept> kept_;
  pid_t child_ = -1;
  bool ready_ = false;       // the child serves
  bool ready_once_ = false;  // a child has served: failures from here on are not the operator's
  bool stopping_ = false;
  std::optional<int> result_;
  uint64_t started_ns_ = 0;
  uint64_t start_at_ns_ = 0;
  uint32_t failures_ = 0;      // in a row, each soon after the start
  uint64_t last_sign_ns_ = 0;  // of life; 0: none yet
  uint64_t end_by_ns_ = 0;     // the child was told to end; 0: it was not
};

bool Supervisor::Prepare() {
  char path[PATH_MAX] = {};
  // The path, not the file behind it: after an upgrade the next child is the new program.
  if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0) return false;
  program_ = path;
  notices_ = UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  socklen_t size = sizeof(sa_family_t);  // the kernel chooses an abstract name that is free
  const int yes = 1;
  if (bind(notices_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      setsockopt(notices_.get(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)) != 0) {
    return false;
  }
  size = sizeof(address);
  if (getsockname(notices_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  address_.assign(address.sun_path, size - offsetof(sockaddr_un, sun_path));
  address_.front() = '@';
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1}) {
    sigaddset(&wanted, signal);
  }
  sigprocmask(SIG_BLOCK, &wanted, &before_);
  signals_ = UniqueFd(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  signal(SIGPIPE, SIG_IGN);
  // It holds the memory with the keys: no core file, and only root sees its descriptors.
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_DUMPABLE, 0);
  return signals_.valid();
}

// --- The child ---

bool Supervisor::Start() {
  started_ns_ = clock_.MonotonicNs();
  start_at_ns_ = 0;
  last_sign_ns_ = 0;
  end_by_ns_ = 0;
  ready_ = false;
  const pid_t parent = getpid();
  child_ = fork();
  if (child_ == 0) BecomeChild(parent);
  if (child_ < 0) Say(std::string("cannot start cygnetd: ") + std::strerror(errno));
  return child_ > 0;
}

void Supervisor::BecomeChild(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // without its parent nothing would outlive it
  if (getppid() != parent) _exit(1);
  sigprocmask(SIG_SETMASK, &before_, nullptr);
  signal(SIGPIPE, SIG_DFL);
  std::string names;
  // Twice, so that no descriptor is overwritten before it is copied.
  const int above = kFirstDescriptor + static_cast<int>(kept_.size()) + 64;
  std::vector<int> high;
  for (const Kept& kept : kept_) {
    high.push_back(fcntl(kept.fd.get(), F_DUPFD_CLOEXEC, above));
    names += (names.empty() ? "" : ":") + kept.name;
  }
  for (std::size_t i = 0; i < high.size(); ++i) {
    if (dup2(high[i], kFirstDescriptor + static_cast<int>(i)) < 0) _exit(1);
  }
  setenv("NOTIFY_SOCKET", address_.c_str(), 1);
  setenv("WATCHDOG_USEC", std::to_string(kWatchdogNs / 1000).c_str(), 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", std::to_string(kept_.size()).c_str(), 1);
  setenv("LISTEN_FDNAMES", names.c_str(), 1);
  std::vector<char*> argv{const_cast<char*>(program_.c_str())};
  for (const std::string& argument : arguments_) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  execv(program_.c_str(), argv.data());
  Say("cannot run " + program_ + ": " + std::strerror(errno));
  _exit(127);
}

// The first failure may be an accident; a pause before the others saves the CPU.
uint64_t Supervisor::PauseNs() const {
  if (failures_ <= 1) return 0;
  return std::min((50 * kMs) << std::min(failures_ - 2, 10u), kLongestPauseNs);
}

// A first child that fails is the operator's to repair. After that, only a stop ends this.
void Supervisor::OnChildEnd(int status) {
  const uint64_t now = clock_.MonotonicNs();
  child_ = -1;
  const bool orderly = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (stopping_ || !ready_once_) {
    const bool as_told = stopping_ && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
    result_ = as_told ? 0 : code;
    return;
  }
  failures_ = orderly || now - started_ns_ >= kLivedNs ? 0 : failures_ + 1;
  const uint64_t pause_ns = PauseNs();
  start_at_ns_ = now + pause_ns;
  if (!orderly) {
    Say("cygnetd ended with " +
        (WIFEXITED(status) ? "status " + std::to_string(code)
                           : "signal " + std::to_string(WTERMSIG(status))) +
        "; it is started again" +
        (pause_ns == 0 ? "" : " in " + std::to_string(pause_ns / kMs) + " ms"));
  }
}

// A start may wait for a wire as long as it likes; what is told to end may not.
void Supervisor::KillIfItHangs(uint64_t now) {
  if (child_ <= 0) return;
  if (end_by_ns_ != 0 && now >= end_by_ns_) {
    Say("cygnetd does not end within 20 s: it is killed");
  } else if (end_by_ns_ == 0 && last_sign_ns_ != 0 && now >= last_sign_ns_ + kWatchdogNs) {
    Say("cygnetd gave no sign of life for 10 s: it is killed");
  } else {
    return;
  }
  last_sign_ns_ = 0;
  end_by_ns_ = 0;
  Forward(SIGKILL);
}

void Supervisor::EndChild() {
  if (child_ > 0 && end_by_ns_ == 0) end_by_ns_ = clock_.MonotonicNs() + kEndNs;
  Forward(SIGTERM);
}

// --- Events ---

void Supervisor::OnSignals() {
  signalfd_siginfo info{};
  while (read(signals_.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    switch (info.ssi_signo) {
      case SIGCHLD:
        break;
      case SIGHUP:
        if (ready_) Forward(SIGHUP);  // one that starts reads the file anyway
        break;
      case SIGUSR1:  // the operator's restart: an orderly end, then the next child
        if (child_ > 0) Say("restarting cygnetd");
        if (ready_) Forward(SIGUSR1);  // other nodes of a cluster wait for the next one
        EndChild();
        break;
      default:
        stopping_ = true;
        EndChild();
        if (child_ <= 0) result_ = 0;
    }
  }
  int status = 0;
  if (child_ > 0 && waitpid(child_, &status, WNOHANG) == child_) {
    while (auto notice = Receive()) Store(&*notice);  // what it sent before its end
    OnChildEnd(status);
  }
}

// Datagrams of other processes are dropped with what they carry.
std::optional<Notice> Supervisor::Receive() const {
  std::array<char, 4096> text;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int) * 8)> room;
  iovec part{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  const ssize_t n = recvmsg(notices_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0) return std::nullopt;
  Notice notice;
  pid_t sender = -1;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_CREDENTIALS) {
      ucred who{};
      std::memcpy(&who, CMSG_DATA(c), sizeof(who));
      sender = who.pid;
    } else if (c->cmsg_type == SCM_RIGHTS) {
      const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
        notice.fds.emplace_back(fd);
      }
    }
  }
  if (sender == child_) notice.text.assign(text.data(), static_cast<std::size_t>(n));
  return notice;
}

void Supervisor::OnNotice() {
  while (auto notice = Receive()) {
    Store(&*notice);
    PassOn(*notice);
  }
}

void Supervisor::Store(Notice* notice) {
  const auto name = notice->Find("FDNAME=");
  if (!name || name->empty() || name->find(':') != std::string::npos) return;
  if (notice->Has("FDSTOREREMOVE=1")) {
    std::erase_if(kept_, [&](const Kept& kept) { return kept.name == *name; });
  } else if (notice->Has("FDSTORE=1")) {
    for (UniqueFd& fd : notice->fds) {
      if (kept_.size() < kMostDescriptors) kept_.push_back({*name, std::move(fd)});
    }
  }
}

// The supervisor goes on when the daemon ends.
void Supervisor::PassOn(const Notice& notice) {
  if (notice.Has("READY=1")) {
    ready_once_ = ready_ = true;
    above_.Tell("READY=1\n");
  }
  if (const auto status = notice.Find("STATUS=")) above_.Tell("STATUS=" + *status + "\n");
  if (notice.Has("WATCHDOG=1")) {
    last_sign_ns_ = clock_.MonotonicNs();
    above_.Tell("WATCHDOG=1\n");
  }
  if (notice.Has("STOPPING=1") && stopping_) above_.Tell("STOPPING=1\n");
}

void Supervisor::Wait(int timeout_ms) {
  std::array<pollfd, 2> wait{{{signals_.get(), POLLIN, 0}, {notices_.get(), POLLIN, 0}}};
  if (poll(wait.data(), wait.size(), timeout_ms) <= 0) return;
  if (wait[1].revents != 0) OnNotice();
  if (wait[0].revents != 0) OnSignals();
}

int Supervisor::Run() {
  if (!Start()) return 1;
  while (!result_) {
    const uint64_t now = clock_.MonotonicNs();
    KillIfItHangs(now);
    if (child_ <= 0 && now >= start_at_ns_ && !Start()) start_at_ns_ = now + kLongestPauseNs;
    const uint64_t pause =
        child_ <= 0 && start_at_ns_ > now ? (start_at_ns_ - now) / kMs + 1 : 1000;
    Wait(static_cast<int>(std::min<uint64_t>(pause, 1000)));
  }
  for (const Kept& kept : kept_) WipeMemory(kept.fd.get());
  return *result_;
}

}  // namespace

int Supervise(std::vector<std::string> arguments) {
  Supervisor supervisor(std::move(arguments));
  if (!supervisor.Prepare()) {
    Say(std::string("cannot start: ") + std::strerror(errno));
    return 1;
  }
  return supervisor.Run();
}

}  // namespace cygnet
