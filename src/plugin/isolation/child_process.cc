#include "plugin/isolation/child_process.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include "base/errno_error.h"
#include "base/key_material.h"
#include "base/log.h"
#include "base/plain_text.h"
#include "plugin/isolation/spawn.h"

namespace cygnet::isolation {
namespace {

uint64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Marks the time in which a control call has its own limit.
struct InCall {
  explicit InCall(std::atomic<bool>* in_call) : flag(in_call) { flag->store(true); }
  ~InCall() { flag->store(false); }
  InCall(const InCall&) = delete;
  InCall& operator=(const InCall&) = delete;
  std::atomic<bool>* const flag;
};

std::string HowItEnded(const siginfo_t& info) {
  const std::string number = std::to_string(info.si_status);
  if (info.si_code == CLD_EXITED) return "its process ended with status " + number;
  if (info.si_status == SIGSYS) {
    return "its process was killed for a system call that an isolated plug-in may not make (the "
           "kernel's log has its number)";
  }
  return "its process was killed by signal " + number + " (" + strsignal(info.si_status) + ")";
}

}  // namespace

ChildProcess::ChildProcess(std::string plugin, const IsolationSettings& settings, SharedMemory page)
    : plugin_(std::move(plugin)),
      open_patience_(settings.open_patience),
      patience_(settings.patience),
      page_(std::move(page)) {
  answer_.reserve(kMessageBytes);
}

Result<std::unique_ptr<ChildProcess>> ChildProcess::Start(const char* kind,
                                                          const std::string& plugin,
                                                          const IsolationSettings& settings) {
  auto page = SharedMemory::Make(sizeof(ControlPage));
  if (!page) return page.error();
  std::unique_ptr<ChildProcess> child(new ChildProcess(plugin, settings, *std::move(page)));
  CYGNET_RETURN_IF_ERROR(child->Spawn(kind, settings));
  CYGNET_RETURN_IF_ERROR(child->ReadDescription());
  return child;
}

Status ChildProcess::Spawn(const char* kind, const IsolationSettings& settings) {
  auto spawned = SpawnChild({.kind = kind,
                             .plugin = plugin_,
                             .program = settings.program,
                             .user = settings.user,
                             .page = page_.fd()});
  if (!spawned) return spawned.error();
  pid_ = spawned->pid;
  pidfd_ = std::move(spawned->pidfd);
  control_ = std::move(spawned->control);
  events_ = std::move(spawned->events);
  stop_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_.valid()) return ErrnoError("eventfd");
  watch_ = std::thread([this] { Watch(); });
  return {};
}

Status ChildProcess::ReadDescription() {
  std::string problem;
  const auto take = [&](Reader* in) {
    description_ = in->Take<Description>();
    // A child that cannot load sends a reason instead of the texts.
    while (in->ok() && !in->done() && texts_.size() < 4) {
      const char* text = in->Text();
      texts_.push_back(text == nullptr ? "" : PlainText({text, strnlen(text, 256)}));
    }
  };
  const int32_t result = Do(Call::kDescribe, nullptr, take);
  if (failed()) problem = failure();
  if (problem.empty() && result == kCannotLoad) problem = texts_.empty() ? "" : texts_[0];
  if (problem.empty() && description_.protocol != kProtocol) {
    problem = "cygnet-plugin-host belongs to another version of Cygnet: install both together";
  }
  if (problem.empty() && texts_.size() != 4) problem = "its description is incomplete";
  if (problem.empty()) return {};
  return MakeError(Errc::kNotSupported, plugin_ + ": " + problem);
}

std::string ChildProcess::Protection() const {
  std::string text = "runs in process " + std::to_string(pid_);
  text += description_.own_user != 0 ? ", as a user of its own" : ", as the daemon's user";
  if (description_.files_limited == 0) text += "; Landlock does not limit its files";
  if (description_.own_net == 0) text += "; it has no network namespace of its own";
  if (description_.locked == 0) text += "; its keys may reach swap space";
  return text;
}

ChildProcess::~ChildProcess() {
  ending_.store(true);
  if (pidfd_.valid()) syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  if (watch_.joinable()) {
    const uint64_t one = 1;
    (void)!write(stop_.get(), &one, sizeof(one));
    watch_.join();
  }
  Reap();
}

void ChildProcess::SetHost(const cygnet_host* host) {
  const std::lock_guard lock(host_lock_);
  host_ = host;
}

void ChildProcess::Ring() {
  const std::lock_guard lock(host_lock_);
  if (host_ != nullptr) host_->ring(host_->context);
}

// --- Failure ---

std::string ChildProcess::failure() const {
  const std::lock_guard lock(failure_lock_);
  return failure_;
}

void ChildProcess::Fail(const std::string& why) {
  {
    const std::lock_guard lock(failure_lock_);
    if (!failure_.empty() || ending_.load()) return;
    failure_ = why;
    failed_at_ns_.store(NowNs(), std::memory_order_relaxed);
    failed_.store(true, std::memory_order_release);
  }
  syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  const std::lock_guard lock(host_lock_);
  if (host_ == nullptr) return;
  host_->log(host_->context, CYGNET_LOG_ERROR, ("isolated plug-in has failed: " + why).c_str());
  host_->ring(host_->context);
}

// --- Control calls ---

int32_t ChildProcess::Do(Call call, const Put& put, const Take& take, std::span<const int> fds) {
  const std::lock_guard lock(control_lock_);
  if (failed()) return -ENETDOWN;
  if (call == Call::kClose) closing_.store(true);
  const InCall in_call(&in_call_);
  Writer request(page().bytes, kMessageBytes);
  if (put) put(&request);
  if (!request.ok()) {
    SecureWipe(page().bytes, request.size());
    return -EMSGSIZE;
  }
  const Signal signal{.call = static_cast<uint32_t>(call),
                      .sequence = ++sequence_,
                      .length = request.size(),
                      .result = 0};
  Signal answer{};
  const bool answered =
      SendRequest(signal, fds) &&
      ReceiveAnswer(signal, call == Call::kOpen ? open_patience_ : patience_, &answer);
  // The child wipes what it has copied; one that has failed may not have.
  if (!answered) SecureWipe(page().bytes, signal.length);
  if (!answered) return -ENETDOWN;
  answer_.assign(page().bytes, page().bytes + answer.length);
  SecureWipe(page().bytes, std::max(signal.length, answer.length));
  if (answer.result < 0 && answer.length == 0) return answer.result;  // it could not even ask
  Reader in(answer_.data(), answer.length);
  if (take) take(&in);
  if (in.done()) return answer.result;
  Fail("its answer to control call " + std::to_string(signal.call) + " is malformed");
  return -ENETDOWN;
}

bool ChildProcess::SendRequest(const Signal& signal, std::span<const int> fds) {
  Signal copy = signal;
  iovec part{.iov_base = &copy, .iov_len = sizeof(copy)};
  alignas(cmsghdr) char room[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = room;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  if (sendmsg(control_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(copy)) return true;
  WaitForEnd();
  Fail("it takes no more requests");
  return false;
}

bool ChildProcess::ReceiveAnswer(const Signal& request, std::chrono::milliseconds patience,
                                 Signal* answer) {
  const uint64_t end = NowNs() + static_cast<uint64_t>(std::chrono::nanoseconds(patience).count());
  for (uint64_t now = NowNs(); now < end && !failed(); now = NowNs()) {
    pollfd wait{control_.get(), POLLIN, 0};
    const int ready = poll(&wait, 1, static_cast<int>((end - now) / 1'000'000 + 1));
    if (ready <= 0) continue;
    const ssize_t n = recv(control_.get(), answer, sizeof(*answer), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) {
      WaitForEnd();
      Fail("it closed the control socket");
      return false;
    }
    if (n == sizeof(*answer) && answer->call == request.call &&
        answer->sequence == request.sequence && answer->length <= kMessageBytes) {
      return true;
    }
    Fail("it answered a control call that was not made");
    return false;
  }
  Fail("control call " + std::to_string(request.call) + " was not answered within " +
       std::to_string(patience.count()) + " ms");
  return false;
}

// --- Watch: a thread that waits for the end of the child, its lines and its rings ---

void ChildProcess::Watch() {
  // Lines and rings a turn; a child that sends more waits.
  constexpr timespec kRest{.tv_sec = 0, .tv_nsec = 10'000'000};
  watchdog_.Add(&page().beat, "its main thread", &in_call_);
  const std::chrono::milliseconds between = patience_ / Watchdog::kLooksInPatience;
  while (!ending_.load()) {
    pollfd wait[] = {
        {pidfd_.get(), POLLIN, 0}, {events_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(wait, 3, static_cast<int>(between.count())) < 0 && errno != EINTR) return;
    if (wait[2].revents != 0) return;
    if ((wait[1].revents & POLLIN) != 0 && !ReadEvents()) nanosleep(&kRest, nullptr);
    if (wait[0].revents != 0) return Reap();
    LookForStuckThreads();
  }
}

void ChildProcess::LookForStuckThreads() {
  const uint64_t now = NowNs();
  if (now < next_look_ns_) return;
  const std::chrono::nanoseconds between = patience_ / Watchdog::kLooksInPatience;
  next_look_ns_ = now + static_cast<uint64_t>(between.count());
  const auto stuck = watchdog_.Look();
  if (!stuck.has_value() || closing_.load()) return;
  Fail(*stuck + " has not returned from a function of the plug-in for " +
       std::to_string(Watchdog::kLooks * (patience_ / Watchdog::kLooksInPatience).count()) + " ms");
}

bool ChildProcess::ReadEvents() {
  constexpr int kEventsATurn = 16;
  for (int i = 0; i < kEventsATurn; ++i) {
    Event event{};
    const ssize_t n = recv(events_.get(), &event, sizeof(event), MSG_DONTWAIT);
    if (n < 0) return true;
    if (n == 0) return true;
    if (n != sizeof(event) || event.length > kEventText) {
      Fail("it sent an event that does not exist");
      return true;
    }
    Accept(event);
  }
  return false;
}

void ChildProcess::Accept(const Event& event) {
  const std::string line = PlainText({event.text, event.length});
  if (event.kind == static_cast<uint32_t>(EventKind::kRing)) return Ring();
  if (event.kind == static_cast<uint32_t>(EventKind::kBreach)) return Fail(line);
  if (event.kind != static_cast<uint32_t>(EventKind::kLog)) {
    return Fail("it sent an event that does not exist");
  }
  const std::lock_guard lock(host_lock_);
  if (host_ != nullptr) host_->log(host_->context, event.level, line.c_str());
}

// A process that ends closes its sockets a little earlier: the cause is better than "closed".
void ChildProcess::WaitForEnd() {
  pollfd wait{pidfd_.get(), POLLIN, 0};
  if (poll(&wait, 1, 200) > 0) Reap();
}

// Whoever finds the child dead names the cause; the other one waits for that.
void ChildProcess::Reap() {
  if (!pidfd_.valid()) return;
  const std::lock_guard lock(reap_lock_);
  siginfo_t info{};
  const int options = WEXITED | (ending_.load() ? 0 : WNOHANG);
  if (waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, options) != 0) return;
  if (info.si_pid == 0) return;
  gone_.store(true, std::memory_order_release);
  const bool well = closing_.load() && info.si_code == CLD_EXITED && info.si_status == 0;
  if (well || ending_.load()) return;
  Fail(HowItEnded(info));
  Ring();
}

}  // namespace cygnet::isolation
