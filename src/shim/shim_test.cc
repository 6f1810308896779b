// Runs the test client and iproute2 with the shim preloaded against a fake daemon. Each test has
// its own network namespace, because a namespace has only one daemon.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>

#include "support/fake_xfrm_daemon.h"

namespace cygnet::shim {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int status = -1;
  std::string output;  // stdout and stderr
};

enum class Preload { kShim, kNothing };

Outcome RunCommand(const std::string& command, Preload preload = Preload::kShim) {
  const std::string environment =
      preload == Preload::kShim ? "LD_PRELOAD=" SHIM_PATH " " : std::string();
  FILE* pipe = popen((environment + "timeout 60 " + command + " 2>&1").c_str(), "r");
  Outcome outcome;
  std::array<char, 4096> buffer;
  while (const size_t bytes = fread(buffer.data(), 1, buffer.size(), pipe)) {
    outcome.output.append(buffer.data(), bytes);
  }
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

void WriteFile(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

bool EnterNamespace() {
  if (unshare(CLONE_NEWNET) == 0) {
    return true;
  }
  const std::string map = "0 " + std::to_string(getuid()) + " 1";
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return false;
  }
  WriteFile("/proc/self/uid_map", map);
  return true;
}

class ShimTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!EnterNamespace()) {
      GTEST_SKIP() << "cannot create a network namespace: " << strerror(errno);
    }
  }
};

class ShimScenario : public ShimTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(ShimScenario, Passes) {
  FakeDaemon daemon;
  const Outcome outcome = RunCommand(std::string(SHIM_CLIENT_PATH " ") + GetParam());
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}

INSTANTIATE_TEST_SUITE_P(
    Client, ShimScenario,
    ::testing::Values("port-ids", "autobind-avoids-explicit", "autobind-at-first-send", "connected",
                      "memberships", "options", "ike-socket-options", "offload-feature",
                      "statistics", "statistics-appended", "every-send", "every-receive", "peek",
                      "groups", "overrun", "lock-step", "waiting", "duplicates", "reused-numbers",
                      "fork", "threads", "other-families", "request-lost", "event-loop",
                      "receive-reconnects", "blocking-receive", "receive-timeout", "dump-lost",
                      "daemon-stays-away", "socket-policies", "socket-policies-restart",
                      "kept-connection", "kept-connection-and-sizes", "not-kept",
                      "kept-connection-and-fork", "kept-number-taken",
                      "kept-connection-needs-the-daemon", "kept-connection-needs-the-capability",
                      "kept-connection-stays-in-its-namespace",
                      "kept-connection-is-of-where-it-was-made", "kept-connection-and-threads",
                      "kept-connection-and-a-thread-elsewhere"),
    [](const auto& instance) {
      std::string name = instance.param;
      std::erase(name, '-');
      return name;
    });

TEST_F(ShimTest, RefusesTheKernelWithoutDaemon) {
  const Outcome outcome = RunCommand(SHIM_CLIENT_PATH " no-daemon");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.output,
            "cygnet: no cygnetd in this network namespace; refusing to talk to the kernel's XFRM "
            "instead\n");
}

TEST_F(ShimTest, StatisticsWithoutDaemonAreTheKernels) {
  const Outcome outcome = RunCommand(SHIM_CLIENT_PATH " statistics-without-daemon");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.output, "");
}

// The kernel defines the answers of a NETLINK_XFRM socket.
TEST_F(ShimTest, AnswersAsTheKernelDoes) {
  const int probe = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM);
  if (probe < 0) {
    GTEST_SKIP() << "no NETLINK_XFRM in this kernel: " << strerror(errno);
  }
  close(probe);
  const Outcome kernel = RunCommand(SHIM_CLIENT_PATH " native", Preload::kNothing);
  ASSERT_EQ(kernel.status, 0) << kernel.output;
  FakeDaemon daemon;
  const Outcome shim = RunCommand(SHIM_CLIENT_PATH " native");
  EXPECT_EQ(shim.status, 0);
  EXPECT_EQ(shim.output, kernel.output);
}

TEST_F(ShimTest, RunsIproute2) {
  if (RunCommand("ip -V", Preload::kNothing).status != 0) {
    GTEST_SKIP() << "iproute2 is not installed";
  }
  FakeDaemon daemon;
  const Outcome list = RunCommand("ip xfrm state list");
  EXPECT_EQ(list.status, 0);
  EXPECT_THAT(list.output, HasSubstr("src 10.77.0.1 dst 10.77.0.2"));
  EXPECT_THAT(list.output, HasSubstr("proto esp spi 0xc0ffee01 reqid 7 mode tunnel"));
  const Outcome flush = RunCommand("ip xfrm state flush");
  EXPECT_EQ(flush.status, 0) << flush.output;
  EXPECT_EQ(flush.output, "");
  // A request that the daemon refuses makes ip fail, not hang.
  EXPECT_EQ(RunCommand("ip xfrm policy flush").status, 2);
}

TEST(ShimLibraryTest, NeedsLibcOnly) {
  const Outcome dynamic = RunCommand("readelf -d " SHIM_PATH, Preload::kNothing);
  if (dynamic.status != 0) {
    GTEST_SKIP() << "no readelf";
  }
  EXPECT_THAT(dynamic.output, HasSubstr("libc.so.6"));
  EXPECT_EQ(dynamic.output.find("libstdc++"), std::string::npos);
  EXPECT_EQ(dynamic.output.find("libgcc_s"), std::string::npos);
  const Outcome symbols = RunCommand("nm -D --defined-only " SHIM_PATH, Preload::kNothing);
  EXPECT_EQ(symbols.output.find("cygnet"), std::string::npos) << symbols.output;
}

}  // namespace
}  // namespace cygnet::shim
