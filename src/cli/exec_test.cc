// `cygnet exec`: the programs it runs, those it refuses, and the exit status.
#include "cli/exec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "netlink/doorstep.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;
using ::testing::Optional;

namespace fs = std::filesystem;

class ExecTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "cygnet_exec_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    shim_ = folder_ / "shim.so";
    std::ofstream(shim_) << "";
    setenv("CYGNET_SHIM", shim_.c_str(), 1);
  }
  void TearDown() override {
    fs::remove_all(folder_);
    unsetenv("CYGNET_SHIM");
  }

  std::string Script(const std::string& text, mode_t mode = 0755) {
    const fs::path path = folder_ / "script";
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return path;
  }

  // Empty if there is no compiler.
  std::string Compile(const std::string& options) {
    std::ofstream(folder_ / "main.c") << "int main(void) { return 0; }\n";
    const std::string path = folder_ / "program";
    const std::string command =
        "cc " + options + " -o " + path + " " + (folder_ / "main.c").string() + " 2>/dev/null";
    return std::system(command.c_str()) == 0 ? path : std::string();
  }

  fs::path folder_;
  fs::path shim_;
};

// Runs in a child, since success does not return. Its own namespace has no daemon other than the
// one that the test plays.
enum class Daemon { kNone, kListens };
struct Outcome {
  int status = -1;
  std::string output;
};
constexpr int kNoNamespace = 99;

// Ends with the process.
void Listen() {
  auto doorstep = Doorstep::Claim();
  if (!doorstep) {
    _exit(kNoNamespace);
  }
  std::thread([doorstep = std::move(*doorstep)] {
    for (;;) {
      pollfd entry{.fd = doorstep->fd(), .events = POLLIN, .revents = 0};
      poll(&entry, 1, -1);
      (void)doorstep->Take();
    }
  }).detach();
}

Outcome Exec(std::vector<std::string> words, Daemon daemon) {
  int ends[2];
  if (pipe(ends) != 0) {
    return {};
  }
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      _exit(kNoNamespace);
    }
    if (daemon == Daemon::kListens) {
      Listen();
    }
    std::vector<char*> argv;
    argv.reserve(words.size());
    for (std::string& word : words) {
      argv.push_back(word.data());
    }
    _exit(RunExec(static_cast<int>(argv.size()), argv.data()));
  }
  close(ends[1]);
  Outcome outcome;
  char buffer[1024];
  for (ssize_t bytes; (bytes = read(ends[0], buffer, sizeof buffer)) > 0;) {
    outcome.output.append(buffer, static_cast<size_t>(bytes));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  outcome.status = WEXITSTATUS(status);
  return outcome;
}

TEST_F(ExecTest, TakesDynamicPrograms) {
  EXPECT_EQ(WhyPreloadFails("/bin/sh"), std::nullopt);
  EXPECT_EQ(WhyPreloadFails(Script("#!/bin/sh\n")), std::nullopt);
  EXPECT_EQ(WhyPreloadFails(Script("#! /bin/sh -e\n")), std::nullopt);
  EXPECT_EQ(WhyPreloadFails(Script("echo no interpreter line\n")), std::nullopt);
}

TEST_F(ExecTest, RefusesStaticProgramAndItsScript) {
  for (const char* options : {"-static", "-static-pie"}) {
    const std::string program = Compile(options);
    if (program.empty()) {
      GTEST_SKIP() << "no C compiler that links statically";
    }
    EXPECT_THAT(WhyPreloadFails(program), Optional(HasSubstr("statically linked"))) << options;
    EXPECT_THAT(WhyPreloadFails(Script("#!" + program + "\n")),
                Optional(HasSubstr("interpreter " + program)));
    EXPECT_EQ(Exec({program}, Daemon::kListens).status, 126);
  }
}

TEST_F(ExecTest, RefusesOtherMachine) {
  const fs::path copy = folder_ / "copy";
  fs::copy_file("/bin/sh", copy);
  std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(18);  // e_machine
  file.write("\x08\x00", 2);
  file.close();
  EXPECT_THAT(WhyPreloadFails(copy), Optional(HasSubstr("another architecture")));
}

TEST_F(ExecTest, RefusesSetuidAndSetgidOfOthers) {
  const fs::path copy = folder_ / "copy";
  fs::copy_file("/bin/sh", copy);
  chmod(copy.c_str(), 06755);
  EXPECT_EQ(WhyPreloadFails(copy), std::nullopt);  // owned by us: no additional rights
  if (chown(copy.c_str(), 12345, getgid()) != 0) {
    GTEST_SKIP() << "only root can give files away";
  }
  chmod(copy.c_str(), 04755);
  EXPECT_THAT(WhyPreloadFails(copy), Optional(HasSubstr("setuid")));
  ASSERT_EQ(chown(copy.c_str(), getuid(), 12345), 0);
  chmod(copy.c_str(), 02755);
  EXPECT_THAT(WhyPreloadFails(copy), Optional(HasSubstr("setgid")));
}

TEST_F(ExecTest, RefusesFileCapabilitiesForUsers) {
  const fs::path copy = folder_ / "copy";
  fs::copy_file("/bin/sh", copy);
  const std::string command = "setcap cap_net_admin+ep " + copy.string() + " 2>/dev/null";
  if (getuid() != 0 || std::system(command.c_str()) != 0) {
    GTEST_SKIP() << "cannot set file capabilities";
  }
  EXPECT_EQ(WhyPreloadFails(copy), std::nullopt);
  chmod(folder_.c_str(), 0755);
  const pid_t child = fork();
  if (child == 0) {
    const bool refuses = setuid(12345) == 0 && WhyPreloadFails(copy).has_value();
    _exit(refuses ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(ExecTest, RefusesCircularInterpreters) {
  const fs::path script = folder_ / "script";
  EXPECT_THAT(WhyPreloadFails(Script("#!" + script.string() + "\n")),
              Optional(HasSubstr("form a loop")));
  EXPECT_THAT(WhyPreloadFails(Script("#!/no/such/interpreter\n")),
              Optional(HasSubstr("cannot be read")));
}

TEST_F(ExecTest, FindsCommandsAsTheShellDoes) {
  EXPECT_THAT(FindCommand("sh"), Optional(HasSubstr("/sh")));
  EXPECT_EQ(FindCommand("no-such-command-anywhere"), std::nullopt);
  EXPECT_EQ(FindCommand(""), std::nullopt);
  EXPECT_EQ(FindCommand(folder_), std::nullopt);
}

TEST_F(ExecTest, SaysWhyItDoesNotRun) {
  const Outcome alone = Exec({"sh", "-c", "exit 3"}, Daemon::kNone);
  if (alone.status == kNoNamespace) {
    GTEST_SKIP() << "no network namespace of its own";
  }
  EXPECT_EQ(alone.status, 125);
  EXPECT_THAT(alone.output, HasSubstr("no cygnetd in this network namespace"));
  EXPECT_EQ(Exec({"no-such-command-anywhere"}, Daemon::kListens).status, 127);
  EXPECT_EQ(Exec({Script("#!/bin/sh\n", 0644)}, Daemon::kListens).status, 126);
  EXPECT_EQ(Exec({}, Daemon::kListens).status, 125);
  setenv("CYGNET_SHIM", "/no/such/shim.so", 1);
  EXPECT_THAT(Exec({"sh"}, Daemon::kListens).output, HasSubstr("CYGNET_SHIM"));
}

TEST_F(ExecTest, PrependsToThePreload) {
  setenv("LD_PRELOAD", "/no/such/other.so", 1);
  const Outcome outcome =
      Exec({"sh", "-c", "echo \"preload=$LD_PRELOAD\"; exit 3"}, Daemon::kListens);
  unsetenv("LD_PRELOAD");
  if (outcome.status == kNoNamespace) {
    GTEST_SKIP() << "no network namespace of its own";
  }
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.output, HasSubstr("preload=" + shim_.string() + ":/no/such/other.so"));
}

}  // namespace
}  // namespace cygnet
