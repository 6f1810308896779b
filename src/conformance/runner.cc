#include "conformance/runner.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/clock.h"
#include "base/log.h"

namespace cygnet::conformance {
namespace {

constexpr unsigned kSecondsOfACheck = 30;

struct Child {
  std::string text;
  int status = 0;
  bool late = false;
};

[[noreturn]] void BeChild(const std::function<std::string()>& make, int to) {
  // What the adapter says about a breach is in the report already.
  SetLogSink([](LogLevel, std::string_view) {});
  const std::string text = make();
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = write(to, text.data() + at, text.size() - at);
    if (n <= 0) break;
    at += static_cast<std::size_t>(n);
  }
  close(to);
  _exit(0);  // without destructors of a plug-in that may hang
}

Child RunChild(const std::function<std::string()>& make, unsigned seconds) {
  Child child;
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return child;
  const pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    BeChild(make, ends[1]);
  }
  close(ends[1]);
  const SystemClock clock;
  const uint64_t due = clock.MonotonicNs() + uint64_t{seconds} * 1'000'000'000;
  std::array<char, 4096> block;
  for (;;) {
    const uint64_t now = clock.MonotonicNs();
    pollfd fd{ends[0], POLLIN, 0};
    const int left = now < due ? static_cast<int>((due - now) / 1'000'000) + 1 : 0;
    if (left == 0 || poll(&fd, 1, left) == 0) {
      child.late = true;
      kill(pid, SIGKILL);
      break;
    }
    const ssize_t n = read(ends[0], block.data(), block.size());
    if (n <= 0) break;
    child.text.append(block.data(), static_cast<std::size_t>(n));
  }
  close(ends[0]);
  waitpid(pid, &child.status, 0);
  return child;
}

std::string Encode(const Outcome& outcome) {
  return static_cast<char>('0' + static_cast<int>(outcome.verdict)) + outcome.detail;
}

}  // namespace

std::string_view Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kKept:
      return "kept";
    case Verdict::kBroken:
      return "broken";
    case Verdict::kNotApplicable:
      return "not-applicable";
  }
  return "unknown";
}

std::string TextOfChild(const std::function<std::string()>& make, unsigned seconds) {
  return RunChild(make, seconds).text;
}

Outcome RunInChild(const Check& check, const Subject& subject, unsigned seconds) {
  const Child child = RunChild([&] { return Encode(check.run(subject)); }, seconds);
  if (child.late) return Broken("it did not end within " + std::to_string(seconds) + " s");
  if (WIFSIGNALED(child.status)) {
    return Broken("the process died of signal " + std::to_string(WTERMSIG(child.status)) + " (" +
                  strsignal(WTERMSIG(child.status)) + ")");
  }
  const bool valid = !child.text.empty() && child.text[0] >= '0' && child.text[0] <= '2';
  if (!valid || WEXITSTATUS(child.status) != 0) {
    return Broken("the process ended before the check did, with status " +
                  std::to_string(WEXITSTATUS(child.status)));
  }
  return {static_cast<Verdict>(child.text[0] - '0'), child.text.substr(1)};
}

std::vector<Result> RunAll(std::span<const Check> checks, const Subject& subject) {
  std::vector<Result> results;
  for (const Check& check : checks) {
    results.push_back({&check, RunInChild(check, subject, kSecondsOfACheck)});
  }
  return results;
}

}  // namespace cygnet::conformance
