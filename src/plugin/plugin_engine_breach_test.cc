// PluginEngine: what happens when the plug-in breaks its contract.
#include <thread>

#include "support/scripted_engine.h"

namespace cygnet {
namespace {

using test::handles;
using test::ScriptedEngineTest;

class PluginEngineBreachTest : public ScriptedEngineTest {};

TEST_F(PluginEngineBreachTest, ACompletionOfAJobThatItNeverGot) {
  Make();
  ASSERT_EQ(Submit(4), 4u);
  script_.ready.push_back({~uint64_t{0}, CYGNET_OK, 0});
  PollBreach();
  ExpectFailed("never got", 4);
}

TEST_F(PluginEngineBreachTest, ACompletionOfAJobThatItDidNotAccept) {
  Make();
  ASSERT_EQ(Submit(2), 2u);
  script_.accept = 1;
  auto jobs = Jobs(2);
  ASSERT_EQ(queue_->Submit(jobs), 1u);
  // The host wrote the refused job next to the accepted one.
  script_.ready.push_back({script_.held[2]->cookie + 1, CYGNET_OK, 0});
  PollBreach();
  ExpectFailed("had not accepted", 3);
}

TEST_F(PluginEngineBreachTest, ACompletionTwiceAtOnce) {
  Make();
  ASSERT_EQ(Submit(3), 3u);
  Complete(1);
  Complete(1);
  const auto done = Poll();
  ASSERT_EQ(done.size(), 3u);
  EXPECT_EQ(done[0].status, CryptoStatus::kOk);
  EXPECT_EQ(done[1].status, CryptoStatus::kError);
  EXPECT_EQ(done[2].status, CryptoStatus::kError);
  ExpectFailed("twice", 0);
}

// The job's place holds another job by then.
TEST_F(PluginEngineBreachTest, ACompletionTwiceLater) {
  Make();
  ASSERT_EQ(Submit(1), 1u);
  Complete(0);
  const cygnet_completion old = script_.ready[0];
  ASSERT_EQ(Poll().size(), 1u);
  ASSERT_EQ(Submit(1), 1u);
  ASSERT_EQ(script_.held[0], script_.held[1]);
  script_.ready.push_back(old);
  PollBreach();
  ExpectFailed("twice", 1);
}

TEST_F(PluginEngineBreachTest, AnUnknownStatus) {
  for (const uint32_t status : {0u, 5u, ~0u}) {
    script_ = {};
    handed_back_ = 0;
    Make();
    ASSERT_EQ(Submit(2), 2u);
    Complete(0, status);
    PollBreach();
    ExpectFailed("unknown status", 2);
    Drop();
  }
}

TEST_F(PluginEngineBreachTest, MoreAcceptedThanSubmitted) {
  Make();
  script_.lie_accepted = 1;
  EXPECT_EQ(Submit(4), 4u);
  PollBreach();
  ExpectFailed("accepted more jobs", 4);
}

TEST_F(PluginEngineBreachTest, MoreCompletionsThanRoom) {
  Make();
  ASSERT_EQ(Submit(4), 4u);
  script_.lie_ready = 65;
  PollBreach();
  ExpectFailed("more completions", 4);
}

TEST_F(PluginEngineBreachTest, ASessionTwiceOrNone) {
  Make();
  script_.session = &handles[0];
  EXPECT_EQ(TrySession().error().code, Errc::kNetworkDown);
  EXPECT_NE(engine_->failure().find("a session that exists"), std::string::npos);
  PollBreach();
  ExpectFailed("a session that exists", 0);
  Drop();
  script_ = {};
  Make();
  script_.null_session = true;
  EXPECT_FALSE(TrySession().has_value());
  PollBreach();
  ExpectFailed("returned no session", 0);
}

TEST_F(PluginEngineBreachTest, NoQueue) {
  Make();
  script_.null_queue = true;
  queue_ = engine_->CreateQueue(1);
  EXPECT_NE(engine_->failure().find("returned no queue"), std::string::npos);
  EXPECT_EQ(Submit(1), 0u);
}

TEST_F(PluginEngineBreachTest, AJobThatNeverCompletes) {
  settings_.patience = std::chrono::milliseconds(80);
  Make();
  ASSERT_EQ(Submit(2), 2u);
  Complete(0);
  ASSERT_EQ(Poll().size(), 1u);
  const auto begin = std::chrono::steady_clock::now();
  while (handed_back_ == 0 && std::chrono::steady_clock::now() - begin < std::chrono::seconds(5)) {
    PollBreach();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(70));
  ExpectFailed("holds a job for more than 80 ms", 1);
}

TEST_F(PluginEngineBreachTest, AStateThatItReports) {
  Make();
  ASSERT_EQ(Submit(2), 2u);
  script_.state = CYGNET_ENGINE_FAILED;
  EXPECT_TRUE(Poll().empty()) << "it has not rung";
  script_.host->ring(script_.host->context);
  PollBreach();
  ExpectFailed("reports that it has failed", 2);
}

TEST_F(PluginEngineBreachTest, TheOtherQueuesGiveTheirPacketsBackToo) {
  Make();
  ASSERT_EQ(Submit(2), 2u);
  const auto other = engine_->CreateQueue(1);
  auto jobs = Jobs(3);
  ASSERT_EQ(other->Submit(jobs), 3u);
  script_.state = 77;
  (void)engine_->stats();
  std::vector<CryptoJob> done(64);
  ASSERT_EQ(other->Poll(done), 3u);
  EXPECT_EQ(done[0].status, CryptoStatus::kError);
  PollBreach();
  ExpectFailed("unknown state 77", 2);
}

}  // namespace
}  // namespace cygnet
