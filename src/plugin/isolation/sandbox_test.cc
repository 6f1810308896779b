// What an isolated plug-in cannot do.
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/unique_fd.h"
#include "isolation/engine_fixture.h"

namespace cygnet {
namespace {

class Sandbox : public IsolatedEngineTest {
 protected:
  bool Said(const std::string& line) const {
    const auto lines = host_.lines();
    return std::ranges::find(lines, line) != lines.end();
  }
};

TEST_F(Sandbox, KillsForbiddenSystemCalls) {
  for (const char* call : {"ptrace", "fork", "exec", "write-file", "kill-parent", "dumpable"}) {
    SCOPED_TRACE(call);
    Open(call);
    MakeSessions();
    ExpectFailureWithoutLoss(3);
    EXPECT_NE(host_.Wait("system call that an isolated plug-in may not make"), "");
    EXPECT_FALSE(std::filesystem::exists("/tmp/cygnet-isolation"));
    Close();
  }
}

TEST_F(Sandbox, HasItsOwnUserAndDescriptors) {
  // Something that must not be inherited, and is not marked for that.
  const int secret = open("/etc/shadow", O_RDONLY);
  Open("report");
  EXPECT_NE(host_.Wait("socket "), "");
  if (secret >= 0) close(secret);
  EXPECT_TRUE(geteuid() != 0 || Said("uid 65534"));
  EXPECT_TRUE(Said("dumpable 0"));
  EXPECT_TRUE(Said("socket -1")) << "EPERM";
  EXPECT_TRUE(Said("passwd -13")) << "EACCES by Landlock";
  // 0 to 2: /dev/null; control, events; bell of the main thread.
  int descriptors = 0;
  for (const std::string& line : host_.lines()) {
    if (line.starts_with("descriptor ")) ++descriptors;
  }
  EXPECT_EQ(descriptors, 6);
}

TEST_F(Sandbox, ReadsNoFilesOnceItHasKeys) {
  Open("read-file");
  MakeSessions();
  std::vector<Packet> packets(1);
  Fill(&packets[0], seal_, 64, 1);
  ASSERT_EQ(Submit(&packets), 1u);
  ASSERT_EQ(Collect(1).size(), 1u);
  EXPECT_EQ(host_.Wait("read "), "read -13");
}

std::string StatusOf(pid_t pid, const std::string& key) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return line.substr(key.size() + 2);
  }
  return {};
}

TEST_F(Sandbox, HasNoRights) {
  Open();
  const pid_t pid = ChildPid();
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
    EXPECT_EQ(StatusOf(pid, set), "0000000000000000") << set;
  }
  EXPECT_EQ(StatusOf(pid, "NoNewPrivs"), "1");
  EXPECT_EQ(StatusOf(pid, "Seccomp"), "2");
  if (geteuid() != 0) return;
  EXPECT_EQ(StatusOf(pid, "Groups"), " ");
  const auto net = [](const std::string& who) {
    return std::filesystem::read_symlink("/proc/" + who + "/ns/net").string();
  };
  EXPECT_NE(net(std::to_string(pid)), net("self"));
  std::ifstream limits("/proc/" + std::to_string(pid) + "/limits");
  const std::string all((std::istreambuf_iterator<char>(limits)), {});
  EXPECT_NE(all.find("Max core file size        0                    0"), std::string::npos);
}

// Another process of the same user finds neither the keys nor the packets.
TEST_F(Sandbox, ItsMemoryIsNotForOtherUsers) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  Open();
  MakeSessions();
  const std::string memory = "/proc/" + std::to_string(ChildPid()) + "/mem";
  const pid_t pid = ChildPid();
  const pid_t reader = fork();
  if (reader == 0) {
    if (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0) _exit(9);
    if (open(memory.c_str(), O_RDONLY) >= 0) _exit(1);
    char byte;
    const iovec local{&byte, 1}, remote{&byte, 1};
    _exit(process_vm_readv(pid, &local, 1, &remote, 1, 0) >= 0 ? 2 : 0);
  }
  int status = -1;
  waitpid(reader, &status, 0);
  EXPECT_EQ(status, 0);
}

// The key passes through the page that both sides map: neither leaves it there.
TEST_F(Sandbox, KeysAreWipedFromThePage) {
  Open();
  key_ = {0xde, 0xad, 0xbe, 0xef, 0x13, 0x37, 0xca, 0xfe, 0x42, 0x99,
          0x17, 0x23, 0x31, 0x47, 0x53, 0x61, 0x79, 0x83, 0x97, 0xa1};
  MakeSessions();
  std::ifstream maps("/proc/self/maps");
  int pages = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:cygnet-plugin") == std::string::npos) continue;
    ++pages;
    uintptr_t from = 0, to = 0;
    ASSERT_EQ(std::sscanf(line.c_str(), "%lx-%lx", &from, &to), 2);
    const auto* begin = reinterpret_cast<const uint8_t*>(from);
    const auto* end = reinterpret_cast<const uint8_t*>(to);
    EXPECT_EQ(std::search(begin, end, key_.begin(), key_.end()), end);
  }
  EXPECT_GE(pages, 2);
}

// As the service does it: a user without CAP_SETUID. The engine keeps the user, and works.
TEST_F(Sandbox, WorksWithoutRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "the other tests run without root";
  const pid_t child = fork();
  if (child == 0) {
    if (setgroups(0, nullptr) != 0 || setgid(65533) != 0 || setuid(65533) != 0) _exit(9);
    Open("report");
    if (HasFatalFailure() || host_.Wait("socket ").empty()) _exit(1);
    MakeSessions();
    std::vector<Packet> packets(1);
    Fill(&packets[0], seal_, 64, 1);
    const bool works = Submit(&packets) == 1 && Collect(1).size() == 1;
    const bool limited = Said("uid 65533") && Said("passwd -13");
    Close();
    _exit(works && limited ? 0 : 2);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(Sandbox, ANullDeviceForRootAloneIsNamed) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const std::string file = testing::TempDir() + "cygnet-null-" + std::to_string(getpid());
  ASSERT_TRUE(UniqueFd(open(file.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600)).valid());
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount(file.c_str(), "/dev/null", nullptr, MS_BIND, nullptr) != 0) {
      _exit(9);
    }
    if (setgroups(0, nullptr) != 0 || setgid(65533) != 0 || setuid(65533) != 0) _exit(9);
    const auto table = LoadIsolatedEngine(engine_file_.path(), settings_);
    _exit(!table && table.error().message.find("/dev/null") != std::string::npos ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  unlink(file.c_str());
  if (WIFEXITED(status) && WEXITSTATUS(status) == 9) GTEST_SKIP() << "no mount namespace";
  EXPECT_EQ(status, 0);
}

TEST_F(Sandbox, EndsWithTheDaemon) {
  int line[2];
  ASSERT_EQ(pipe(line), 0);
  const pid_t daemon = fork();
  if (daemon == 0) {
    Open("hold");
    const pid_t pid = ChildPid();
    (void)!write(line[1], &pid, sizeof(pid));
    kill(getpid(), SIGKILL);
  }
  waitpid(daemon, nullptr, 0);
  pid_t pid = 0;
  ASSERT_EQ(read(line[0], &pid, sizeof(pid)), static_cast<ssize_t>(sizeof(pid)));
  int alive = 0;
  for (int i = 0; i < 500 && (alive = kill(pid, 0)) == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_NE(alive, 0);
  close(line[0]);
  close(line[1]);
}

}  // namespace
}  // namespace cygnet
