// Isolated engines that behave, and what becomes of their process when they do not.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "isolation/engine_fixture.h"

namespace cygnet {
namespace {

class IsolatedEngine : public IsolatedEngineTest {};

TEST_F(IsolatedEngine, DescribesThePluginAndItsIdentity) {
  Open();
  EXPECT_STREQ(table_->name, "xor");
  EXPECT_STREQ(table_->version, "1.0");
  EXPECT_STREQ(table_->vendor, "Tests");
  cygnet_identity identity{};
  identity.size = sizeof(identity);
  ASSERT_EQ(table_->identity(engine_, &identity), 0);
  EXPECT_STREQ(identity.model, "XOR");
  EXPECT_STREQ(identity.version, "7");
  EXPECT_EQ(table_->state(engine_), uint32_t{CYGNET_ENGINE_UP});
}

TEST_F(IsolatedEngine, SealsAndOpensAsInTheProcess) {
  Open();
  MakeSessions();
  for (const uint32_t length : {0u, 1u, 64u, 1400u, 1500u}) {
    std::vector<Packet> packets(kDepth);
    for (std::size_t i = 0; i < kDepth; ++i) Fill(&packets[i], seal_, length, 1000 + i);
    const std::vector<Packet> plain = packets;
    ASSERT_EQ(Submit(&packets), kDepth);
    auto done = Collect(kDepth);
    ASSERT_EQ(done.size(), kDepth);
    for (std::size_t i = 0; i < kDepth; ++i) {
      EXPECT_EQ(done[i].cookie, 1000 + i);
      EXPECT_EQ(done[i].status, uint32_t{CYGNET_OK});
      EXPECT_EQ(packets[i].bytes[0], length == 0 ? packets[i].bytes[0] : plain[i].bytes[0] ^ 0x5c);
      packets[i].job.session = open_;
    }
    packets[3].bytes[length] ^= 1;  // of the ICV
    ASSERT_EQ(Submit(&packets), kDepth);
    done = Collect(kDepth);
    ASSERT_EQ(done.size(), kDepth);
    for (std::size_t i = 0; i < kDepth; ++i) {
      EXPECT_EQ(done[i].status, uint32_t(i == 3 ? CYGNET_AUTH_FAILED : CYGNET_OK)) << i;
      const bool same = std::equal(plain[i].bytes.begin(), plain[i].bytes.begin() + length,
                                   packets[i].bytes.begin());
      EXPECT_EQ(same, i != 3 || length == 0) << i;
    }
  }
}

TEST_F(IsolatedEngine, AcceptsNoMoreThanItsDepth) {
  Open();
  MakeSessions();
  std::vector<Packet> packets(kDepth + 10);
  for (std::size_t i = 0; i < packets.size(); ++i) Fill(&packets[i], seal_, 64, i);
  EXPECT_EQ(Submit(&packets), kDepth);
  EXPECT_EQ(Collect(kDepth).size(), kDepth);
}

TEST_F(IsolatedEngine, RingsAThreadThatSleeps) {
  Open();
  MakeSessions();
  for (int round = 0; round < 20; ++round) {
    std::vector<Packet> packets(1);
    Fill(&packets[0], seal_, 64, 1);
    std::this_thread::sleep_for(2ms);  // the child sleeps, too
    ASSERT_EQ(Submit(&packets), 1u);
    if (table_->prepare_wait(queue_) == 1) {
      pollfd wait{table_->wait_fd(queue_), POLLIN, 0};
      EXPECT_EQ(poll(&wait, 1, 5000), 1) << round;
    }
    table_->finish_wait(queue_);
    EXPECT_EQ(Collect(1).size(), 1u);
  }
}

TEST_F(IsolatedEngine, PassesRefusalsOn) {
  auto table = LoadIsolatedEngine(engine_file_.path(), settings_);
  ASSERT_TRUE(table);
  table_ = *table;
  EXPECT_EQ(OpenTable("refuse"), -ENODEV);
  EXPECT_STREQ(refusal_.text, "there is no card");
  Open();
  key_.resize(100);
  EXPECT_EQ(MakeSession(CYGNET_SEAL, &seal_), -EINVAL);
  EXPECT_STREQ(refusal_.text, "a key of 100 bytes");
}

TEST_F(IsolatedEngine, PassesStateAndRingsOn) {
  Open("down");
  ASSERT_EQ(MakeSession(CYGNET_SEAL, &seal_), 0);
  for (int i = 0; i < 500 && host_.rings() == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_GE(host_.rings(), 1);
  EXPECT_EQ(table_->state(engine_), uint32_t{CYGNET_ENGINE_DOWN});
}

TEST_F(IsolatedEngine, SaysWhyALibraryDoesNotLoad) {
  const auto missing = LoadIsolatedEngine("/tmp/no-such-plugin.so", settings_);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("No such file"), std::string::npos)
      << missing.error().message;
  const auto other = LoadIsolatedEngine("/usr/lib/x86_64-linux-gnu/libz.so.1", settings_);
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("cygnet_engine_entry"), std::string::npos)
      << other.error().message;
  settings_.user = "nobody-at-all";
  const auto user = LoadIsolatedEngine(engine_file_.path(), settings_);
  if (geteuid() == 0) {
    ASSERT_FALSE(user);
    EXPECT_NE(user.error().message.find("isolate_user"), std::string::npos);
  }
}

// --- Death ---

TEST_F(IsolatedEngine, LosesNoPacketWhenItsProcessIsKilled) {
  Open("hold");
  MakeSessions();
  std::thread killer([pid = ChildPid()] {
    std::this_thread::sleep_for(100ms);
    kill(pid, SIGKILL);
  });
  ExpectFailureWithoutLoss(kDepth);
  killer.join();
  EXPECT_NE(host_.Wait("killed by signal 9"), "");
  EXPECT_GE(host_.rings(), 1);
  EXPECT_EQ(MakeSession(CYGNET_SEAL, &seal_), -ENETDOWN);
}

TEST_F(IsolatedEngine, WakesASleepingThreadWhenItsProcessIsKilled) {
  Open("hold");
  MakeSessions();
  std::vector<Packet> packets(1);
  Fill(&packets[0], seal_, 64, 1);
  ASSERT_EQ(Submit(&packets), 1u);
  ASSERT_EQ(table_->prepare_wait(queue_), 1);
  kill(ChildPid(), SIGKILL);
  pollfd wait{table_->wait_fd(queue_), POLLIN, 0};
  EXPECT_EQ(poll(&wait, 1, 5000), 1);
  table_->finish_wait(queue_);
  const auto done = Collect(1);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].status, uint32_t{CYGNET_NOT_DONE});
}

TEST_F(IsolatedEngine, SurvivesACrash) {
  Open("crash");
  MakeSessions();
  ExpectFailureWithoutLoss(10);
  EXPECT_NE(host_.Wait("killed by signal 11"), "");
}

TEST_F(IsolatedEngine, SurvivesACrashInAControlCall) {
  Open("die-create");
  EXPECT_EQ(MakeSession(CYGNET_SEAL, &seal_), -ENETDOWN);
  EXPECT_TRUE(WaitForFailure());
  EXPECT_NE(host_.Wait("killed by signal 6"), "");
}

TEST_F(IsolatedEngine, EndsAControlCallThatLoops) {
  Open("loop-create");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(MakeSession(CYGNET_SEAL, &seal_), -ENETDOWN);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
  EXPECT_TRUE(WaitForFailure());
  EXPECT_NE(host_.Wait("not answered within 1000 ms"), "");
  const pid_t pid = ChildPid();
  Close();
  EXPECT_EQ(kill(pid, 0), -1);
}

// A card's program that hangs: nobody destroys the queue, and no job is lost.
TEST_F(IsolatedEngine, FindsAQueueThatLoops) {
  Open("loop-submit");
  MakeSessions();
  ExpectFailureWithoutLoss(5);
  EXPECT_NE(host_.Wait("its thread of queue 0 has not returned from a function of the plug-in"),
            "");
}

TEST_F(IsolatedEngine, FindsAMainThreadThatLoops) {
  Open("loop-state");
  EXPECT_TRUE(WaitForFailure());
  EXPECT_NE(host_.Wait("its main thread has not returned"), "");
}

// The host sees a job that never completes, and destroys the queue.
TEST_F(IsolatedEngine, EndsAQueueThatLoops) {
  Open("loop-submit");
  MakeSessions();
  std::vector<Packet> packets(5);
  for (std::size_t i = 0; i < packets.size(); ++i) Fill(&packets[i], seal_, 64, i);
  EXPECT_EQ(Submit(&packets), 5u);
  std::this_thread::sleep_for(100ms);  // until the child has them
  const auto begin = std::chrono::steady_clock::now();
  table_->queue_destroy(engine_, std::exchange(queue_, nullptr));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
  EXPECT_EQ(table_->state(engine_), uint32_t{CYGNET_ENGINE_FAILED});
}

TEST_F(IsolatedEngine, FailsAPluginThatBreaksTheContract) {
  for (const char* word : {"too-many", "twice", "status"}) {
    SCOPED_TRACE(word);
    Open(word);
    MakeSessions();
    std::vector<Packet> packets(8);
    for (std::size_t i = 0; i < packets.size(); ++i) Fill(&packets[i], seal_, 64, i);
    EXPECT_EQ(Submit(&packets), 8u);
    EXPECT_EQ(Collect(8).size(), 8u);
    EXPECT_TRUE(WaitForFailure());
    Close();
  }
}

TEST_F(IsolatedEngine, EndsWithItsEngine) {
  Open();
  const pid_t pid = ChildPid();
  EXPECT_EQ(kill(pid, 0), 0);
  Close();
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
  for (const std::string& line : host_.lines()) EXPECT_EQ(line.find("failed"), std::string::npos);
}

// A daemon that reloads its configuration loads its plug-ins each time.
TEST_F(IsolatedEngine, ALibraryThatIsLoadedAgainHasOneTable) {
  const auto first = LoadIsolatedEngine(engine_file_.path(), settings_);
  ASSERT_TRUE(first);
  for (int i = 0; i < 70; ++i) {
    const auto again = LoadIsolatedEngine(engine_file_.path(), settings_);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, *first);
  }
}

TEST_F(IsolatedEngine, LeavesNoDescriptorsInTheHost) {
  const auto count = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  Open();
  Close();
  const auto before = count();
  for (int i = 0; i < 3; ++i) {
    Open();
    MakeSessions();
    Close();
  }
  EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace cygnet
