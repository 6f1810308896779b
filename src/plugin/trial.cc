#include "plugin/trial.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "base/unique_fd.h"

namespace cygnet {
namespace {

constexpr std::size_t kStepBytes = 64;
constexpr std::size_t kMostText = 1 << 20;

char* step_page = nullptr;  // shared by parent and child of a trial

// A child ends its text with this. A library that ends the process says nothing.
using LastWord = std::array<char, 16>;

LastWord NewLastWord() {
  LastWord word{};
  std::random_device source;
  for (char& c : word) c = static_cast<char>(source() & 0xff);
  return word;
}

bool WriteAll(int to, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(to, text.data(), text.size());
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

[[noreturn]] void BeChild(const std::function<std::string()>& make, int to, const LastWord& last) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  for (const int crash : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) signal(crash, SIG_DFL);
  SetLogSink([](LogLevel, std::string_view) {});
  const std::string text = make();
  const bool written = WriteAll(to, text) && WriteAll(to, {last.data(), last.size()});
  close(to);
  _exit(written ? 0 : 1);  // without destructors of a plug-in that may hang
}

// Takes the last word off `text`. False: it is not there.
bool TakeLastWord(const LastWord& last, std::string* text) {
  if (!text->ends_with(std::string_view(last.data(), last.size()))) return false;
  text->resize(text->size() - last.size());
  return true;
}

uint64_t NowMs() { return SystemClock().MonotonicNs() / 1'000'000; }

// Reads until the child closes its end. False: it did not in time, or says too much.
bool ReadAll(int from, uint64_t due, std::string* text) {
  std::array<char, 4096> block;
  while (text->size() < kMostText) {
    const uint64_t now = NowMs();
    if (now >= due) return false;
    pollfd fd{from, POLLIN, 0};
    if (poll(&fd, 1, static_cast<int>(due - now)) <= 0) continue;
    const ssize_t n = read(from, block.data(), block.size());
    if (n <= 0) return true;
    text->append(block.data(), static_cast<std::size_t>(n));
  }
  return false;
}

// False: it did not end in time.
bool WaitForEnd(pid_t pid, uint64_t due, int* status) {
  constexpr int kWait = 1;  // millisecond
  while (waitpid(pid, status, WNOHANG) == 0) {
    if (NowMs() >= due) return false;
    (void)poll(nullptr, 0, kWait);
  }
  return true;
}

const char* SignalName(int signal) {
  const char* name = sigabbrev_np(signal);
  return name != nullptr ? name : "unknown";
}

}  // namespace

void NoteStep(const char* name) {
  if (step_page != nullptr) std::strncpy(step_page, name, kStepBytes - 1);
}

std::string TrialEnd::Problem(unsigned seconds) const {
  const std::string where = step.empty() ? "" : " in " + step;
  if (late) return "the library did not return within " + std::to_string(seconds) + " s" + where;
  if (WIFSIGNALED(status)) {
    return "the library crashed (SIG" + std::string(SignalName(WTERMSIG(status))) + ")" + where;
  }
  return "the library ended the process with status " + std::to_string(WEXITSTATUS(status)) + where;
}

TrialEnd RunTrial(const std::function<std::string()>& make, unsigned seconds) {
  TrialEnd end{.status = -1};
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return end;
  UniqueFd from(ends[0]), to(ends[1]);
  void* page = mmap(nullptr, kStepBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return end;
  const LastWord last = NewLastWord();
  const pid_t pid = fork();
  if (pid == 0) {
    step_page = static_cast<char*>(page);
    from = UniqueFd();
    BeChild(make, to.get(), last);
  }
  to = UniqueFd();
  if (pid > 0) {
    const uint64_t due = NowMs() + uint64_t{seconds} * 1000;
    end.late = !ReadAll(from.get(), due, &end.text) || !WaitForEnd(pid, due, &end.status);
    if (end.late) {
      kill(pid, SIGKILL);
      waitpid(pid, &end.status, 0);
    }
    end.returned = TakeLastWord(last, &end.text);
  }
  const char* step = static_cast<const char*>(page);
  end.step.assign(step, strnlen(step, kStepBytes));
  munmap(page, kStepBytes);
  return end;
}

Status Try(const std::string& path, const std::function<Status()>& run, unsigned seconds) {
  const auto text_of_error = [&run] {
    const Status status = run();
    if (status) return std::string();
    return std::to_string(static_cast<int>(status.error().code)) + " " + status.error().message;
  };
  const TrialEnd end = RunTrial(text_of_error, seconds);
  if (!end.ended_well()) {
    return MakeError(Errc::kInvalid, "plug-in " + path + " is refused: " + end.Problem(seconds));
  }
  if (end.text.empty()) return {};
  const std::size_t blank = end.text.find(' ');
  return MakeError(static_cast<Errc>(std::atoi(end.text.c_str())), end.text.substr(blank + 1));
}

}  // namespace cygnet
