// The capture command: blocks, limits, and how it ends.
#include "cli/capture.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "daemon/operator/pcapng.h"
#include "support/scripted_daemon.h"

namespace cygnet {
namespace {

using test::Ending;
using test::ScriptedDaemon;
using ::testing::HasSubstr;

std::string Header() {
  std::string out;
  pcapng::AppendSectionHeader("test", &out);
  pcapng::AppendInterface("nic0-wire", "", 65535, &out);
  return out;
}

std::string PacketBlock() {
  std::string out;
  pcapng::AppendPacket({.time_ns = 1, .original_length = 3, .bytes = {1, 2, 3}}, {}, &out);
  return out;
}

std::string Statistics(uint64_t dropped, uint32_t interface = 0) {
  std::string out;
  pcapng::AppendStatistics(interface, 1, {.received = 9, .dropped = dropped}, &out);
  return out;
}

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe2(fds_.data(), O_CLOEXEC | O_NONBLOCK), 0); }
  ~Pipe() {
    CloseReader();
    close(fds_[1]);
  }
  int writer() const { return fds_[1]; }
  void CloseReader() {
    if (fds_[0] >= 0) close(std::exchange(fds_[0], -1));
  }
  std::string Read() const {
    std::string text(100'000, '\0');
    const ssize_t n = read(fds_[0], text.data(), text.size());
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
  }

 private:
  std::array<int, 2> fds_{-1, -1};
};

TEST(CaptureWriterTest, WritesBlocksAndCounts) {
  const Pipe pipe;
  CaptureWriter writer(pipe.writer(), std::nullopt);
  const std::string text = Header() + PacketBlock() + PacketBlock() + Statistics(4);
  ASSERT_TRUE(writer.Write(text));
  EXPECT_EQ(pipe.Read(), text);
  EXPECT_EQ(writer.packets(), 2u);
  EXPECT_EQ(writer.missed(), 4u);
}

TEST(CaptureWriterTest, StopsPacketsAtTheLimitButNotStatistics) {
  const Pipe pipe;
  CaptureWriter writer(pipe.writer(), 1);
  const auto outcome = writer.Write(PacketBlock() + PacketBlock() + PacketBlock());
  ASSERT_TRUE(outcome);
  EXPECT_EQ(*outcome, CaptureWriter::Outcome::kLimit);
  ASSERT_TRUE(writer.Write(PacketBlock() + Statistics(0)));
  EXPECT_EQ(pipe.Read(), PacketBlock() + Statistics(0));
  EXPECT_EQ(writer.packets(), 1u);
}

TEST(CaptureWriterTest, RefusesWhatIsNoPcapng) {
  const Pipe pipe;
  const std::string block = PacketBlock();
  for (const std::string& text :
       {std::string("short"), std::string(12, '\0'), block.substr(0, block.size() - 4), block + "x",
        std::string("\1\0\0\0\xff\xff\xff\xff\0\0\0\0", 12)}) {
    CaptureWriter writer(pipe.writer(), std::nullopt);
    const auto outcome = writer.Write(text);
    ASSERT_FALSE(outcome);
    EXPECT_THAT(outcome.error().message, HasSubstr("invalid pcapng"));
  }
}

TEST(CaptureWriterTest, AddsWhatEachInterfaceMissed) {
  const Pipe pipe;
  CaptureWriter writer(pipe.writer(), std::nullopt);
  ASSERT_TRUE(writer.Write(Statistics(4) + Statistics(3, 1)));
  ASSERT_TRUE(writer.Write(Statistics(5)));
  EXPECT_EQ(writer.missed(), 8u);
}

TEST(CaptureWriterTest, RefusesKeysThatNobodyRequested) {
  const Pipe pipe;
  CaptureWriter writer(pipe.writer(), std::nullopt);
  EXPECT_FALSE(writer.Write(R"({"sa":{}})"));
  EXPECT_EQ(pipe.Read(), "");
}

TEST(CaptureWriterTest, ReaderThatGoesIsNoFault) {
  std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  pipe.CloseReader();
  CaptureWriter writer(pipe.writer(), std::nullopt);
  const auto outcome = writer.Write(PacketBlock());
  ASSERT_TRUE(outcome);
  EXPECT_EQ(*outcome, CaptureWriter::Outcome::kClosed);
}

class RunCaptureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = ::testing::TempDir() + "cygnet_capture_XXXXXX";
    const int fd = mkstemp(path.data());
    ASSERT_GE(fd, 0);
    close(fd);
    arguments_.object = Object::kCapture;
    arguments_.request = {{"command", "capture"}};
    arguments_.local["write"] = path;
  }
  void TearDown() override { unlink(arguments_.WriteFile().c_str()); }

  std::string Written() const {
    std::ostringstream text;
    text << std::ifstream(arguments_.WriteFile(), std::ios::binary).rdbuf();
    return text.str();
  }

  Arguments arguments_;
};

TEST_F(RunCaptureTest, EndsAfterTheLimitWithTheStatistics) {
  arguments_.local["count"] = 2;
  const ScriptedDaemon daemon(
      {R"({"ok":true})", Header(), PacketBlock(), PacketBlock(), PacketBlock(), Statistics(0)},
      Ending::kWaitForShutdown);
  const Status status = RunCapture(arguments_, daemon.connector());
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(Written(), Header() + PacketBlock() + PacketBlock() + Statistics(0));
}

TEST_F(RunCaptureTest, KeysGoBesideTheFile) {
  arguments_.request["with_keys"] = true;
  const std::string folder = arguments_.WriteFile() + ".keys";
  const std::string keys =
      R"json({"sa":{"src":"192.0.2.1","dst":"192.0.2.2","spi":"0x00001000","family":4,)json"
      R"json("aead":{"name":"rfc4106(gcm(aes))","icv_bits":128,"key":"0x00"}}})json";
  const ScriptedDaemon daemon({R"({"ok":true})", Header(), keys, PacketBlock()}, Ending::kClose);
  (void)RunCapture(arguments_, daemon.connector());
  EXPECT_EQ(Written(), Header() + PacketBlock());
  std::ostringstream table;
  table << std::ifstream(folder + "/esp_sa").rdbuf();
  EXPECT_THAT(table.str(), HasSubstr("0x00001000"));
  std::filesystem::remove_all(folder);
}

TEST_F(RunCaptureTest, FailureBeforeTheFirstPacketLeavesNoKeys) {
  unlink(arguments_.WriteFile().c_str());
  const std::string folder = arguments_.WriteFile() + ".keys";
  ASSERT_EQ(symlink("/dev/full", arguments_.WriteFile().c_str()), 0);
  arguments_.request["with_keys"] = true;
  const std::string keys =
      R"json({"sa":{"src":"192.0.2.1","dst":"192.0.2.2","spi":"0x00001000"}})json";
  const ScriptedDaemon daemon({R"({"ok":true})", keys, Header() + PacketBlock()}, Ending::kClose);
  ::testing::internal::CaptureStderr();
  const Status status = RunCapture(arguments_, daemon.connector());
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("No space left"));
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST_F(RunCaptureTest, ExistingFileIsOverwrittenAndNobodyElseMayReadIt) {
  std::ofstream(arguments_.WriteFile()) << std::string(100'000, 'x');
  ASSERT_EQ(chmod(arguments_.WriteFile().c_str(), 0644), 0);
  const ScriptedDaemon daemon({R"({"ok":true})", Header(), PacketBlock()}, Ending::kClose);
  (void)RunCapture(arguments_, daemon.connector());
  EXPECT_EQ(Written(), Header() + PacketBlock());
  EXPECT_EQ(std::filesystem::status(arguments_.WriteFile()).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(RunCaptureTest, AFileOfAnotherUserIsNotWritten) {
  std::ofstream(arguments_.WriteFile()) << "theirs";
  if (chown(arguments_.WriteFile().c_str(), 65534, 65534) != 0) GTEST_SKIP() << "needs root";
  const ScriptedDaemon daemon({R"({"ok":true})", Header(), PacketBlock()}, Ending::kClose);
  const Status status = RunCapture(arguments_, daemon.connector());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("belongs to another user"));
  EXPECT_EQ(Written(), "theirs") << "nobody reads plaintext, and nothing is lost";
}

TEST_F(RunCaptureTest, ALinkToAFileIsNotFollowed) {
  const std::string target = arguments_.WriteFile() + ".target";
  std::ofstream(target) << "kept";
  unlink(arguments_.WriteFile().c_str());
  ASSERT_EQ(symlink(target.c_str(), arguments_.WriteFile().c_str()), 0);
  const ScriptedDaemon daemon({R"({"ok":true})", Header(), PacketBlock()}, Ending::kClose);
  const Status status = RunCapture(arguments_, daemon.connector());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("is a symbolic link"));
  EXPECT_EQ(Written(), "kept");
  std::filesystem::remove(target);
}

TEST_F(RunCaptureTest, SaysThatTheDaemonWentAway) {
  const ScriptedDaemon daemon({R"({"ok":true})", Header(), PacketBlock()}, Ending::kClose);
  const Status status = RunCapture(arguments_, daemon.connector());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("closed the connection"));
  EXPECT_EQ(Written(), Header() + PacketBlock());
}

TEST_F(RunCaptureTest, ErrorLeavesTheFileAlone) {
  std::ofstream(arguments_.WriteFile()) << "precious";
  const ScriptedDaemon daemon({R"({"error":"no device \"nic0\""})"}, Ending::kClose);
  const Status status = RunCapture(arguments_, daemon.connector());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "no device \"nic0\"");
  EXPECT_EQ(Written(), "precious");
}

// Runs in a child: signals and descriptors belong to the process.
TEST_F(RunCaptureTest, SignalEndsItInGoodOrder) {
  const ScriptedDaemon daemon({R"({"ok":true})", Header(), PacketBlock()},
                              Ending::kWaitForShutdown);
  const pid_t child = fork();
  if (child == 0) _exit(RunCapture(arguments_, daemon.connector()) ? 0 : 1);
  while (Written() != Header() + PacketBlock()) std::this_thread::yield();
  kill(child, SIGINT);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(RunCaptureTest, EndsWhenTheReaderOfItsOutputGoes) {
  const ScriptedDaemon daemon({R"({"ok":true})", Header()}, Ending::kWaitForShutdown);
  Pipe pipe;
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe.writer(), STDOUT_FILENO);
    pipe.CloseReader();
    arguments_.local["write"] = "-";
    _exit(RunCapture(arguments_, daemon.connector()) ? 0 : 1);
  }
  while (pipe.Read().empty()) std::this_thread::yield();
  pipe.CloseReader();
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace cygnet
