// Children that lie in every word of the protocol (test/isolation/hostile_child.cc). The engine
// fails; the host neither crashes nor waits nor loses a packet.
#include "isolation/engine_fixture.h"

namespace cygnet {
namespace {

class HostileChild : public IsolatedEngineTest {
 protected:
  void SetUp() override {
    settings_.program = hostile_.path();
    settings_.patience = 500ms;
  }
  // `how`: the word in the plug-in's place.
  void Start(const std::string& how) {
    auto table = LoadIsolatedEngine(how, settings_);
    ASSERT_TRUE(table) << table.error().message;
    table_ = *table;
    ASSERT_EQ(OpenTable(""), 0) << refusal_.text;
  }
  // One session: the child returns the same each time.
  void MakeOneSession() {
    ASSERT_EQ(MakeSession(CYGNET_SEAL, &seal_), 0) << refusal_.text;
    MakeQueue();
  }
  // Submits once; all jobs come back within the time of Collect.
  std::vector<cygnet_completion> RunJobs(std::vector<Packet>* packets) {
    for (std::size_t i = 0; i < packets->size(); ++i) Fill(&(*packets)[i], seal_, 300, i);
    const uint32_t n = Submit(packets);
    auto done = Collect(n);
    EXPECT_EQ(done.size(), n);
    return done;
  }
  PublicCopy hostile_{CYGNET_HOSTILE_CHILD};
};

class HostileDescription : public HostileChild, public testing::WithParamInterface<const char*> {};
TEST_P(HostileDescription, IsRefused) { EXPECT_FALSE(LoadIsolatedEngine(GetParam(), settings_)); }
INSTANTIATE_TEST_SUITE_P(All, HostileDescription,
                         testing::Values("protocol", "describe-short", "describe-endless",
                                         "describe-zero"));

class HostileAnswer : public HostileChild, public testing::WithParamInterface<const char*> {};
TEST_P(HostileAnswer, FailsTheEngine) {
  Start(GetParam());
  cygnet_session_params params{};
  params.cipher.name = "rfc4106(gcm(aes))";
  EXPECT_EQ(table_->supports(engine_, &params), -ENETDOWN);
  EXPECT_TRUE(WaitForFailure());
  EXPECT_NE(host_.Wait("isolated plug-in has failed"), "");
}
INSTANTIATE_TEST_SUITE_P(All, HostileAnswer,
                         testing::Values("answer-sequence", "answer-call", "answer-length",
                                         "answer-long", "answer-end", "answer-never",
                                         "answer-torn"));

class HostileEvent : public HostileChild, public testing::WithParamInterface<const char*> {};
TEST_P(HostileEvent, FailsTheEngine) {
  Start(GetParam());
  EXPECT_TRUE(WaitForFailure());
}
INSTANTIATE_TEST_SUITE_P(All, HostileEvent,
                         testing::Values("event-short", "event-kind", "event-length"));

class HostileRing : public HostileChild, public testing::WithParamInterface<const char*> {};
TEST_P(HostileRing, FailsTheEngine) {
  Start(GetParam());
  MakeOneSession();
  std::vector<Packet> packets(20);
  RunJobs(&packets);
  for (int i = 0; i < 100 && table_->state(engine_) == CYGNET_ENGINE_UP; ++i) RunJobs(&packets);
  EXPECT_TRUE(WaitForFailure());
}
INSTANTIATE_TEST_SUITE_P(All, HostileRing,
                         testing::Values("slot-beyond", "slot-other", "status-zero",
                                         "status-beyond", "generation", "twice", "ahead", "behind",
                                         "scribble", "end"));

// What harms only the child's own work.
class HostileNoise : public HostileChild, public testing::WithParamInterface<const char*> {};
TEST_P(HostileNoise, HarmsNobodyElse) {
  Start(GetParam());
  MakeOneSession();
  for (int i = 0; i < 50; ++i) {
    std::vector<Packet> packets(20);
    for (const auto& done : RunJobs(&packets)) EXPECT_EQ(done.status, uint32_t{CYGNET_OK});
    // Behind the ICV nothing changes.
    for (const Packet& packet : packets) {
      EXPECT_TRUE(std::all_of(packet.bytes.begin() + 300 + kIcv, packet.bytes.end(),
                              [](uint8_t byte) { return byte == 0; }));
    }
  }
  EXPECT_EQ(table_->state(engine_), uint32_t{CYGNET_ENGINE_UP});
}
INSTANTIATE_TEST_SUITE_P(All, HostileNoise,
                         testing::Values("honest", "garbage-text", "cut", "bell-flood",
                                         "event-flood"));

TEST_F(HostileChild, ALineCannotSteerATerminal) {
  Start("event-flood");
  const std::string line = host_.Wait("[2J!");
  EXPECT_EQ(line, "?[2J!");
}

TEST_F(HostileChild, ANullSessionFails) {
  Start("session-null");
  EXPECT_EQ(MakeSession(CYGNET_SEAL, &seal_), -ENETDOWN);
}

// The hostile child returns the same session each time.
TEST_F(HostileChild, ASessionTwiceFails) {
  Start("honest");
  ASSERT_EQ(MakeSession(CYGNET_SEAL, &seal_), 0);
  EXPECT_EQ(MakeSession(CYGNET_SEAL, &open_), -ENETDOWN);
  EXPECT_TRUE(WaitForFailure());
}

TEST_F(HostileChild, AnUnknownStateIsPassedOnToBeJudged) {
  Start("state");
  EXPECT_EQ(table_->state(engine_), 1234567u);
}

}  // namespace
}  // namespace cygnet
