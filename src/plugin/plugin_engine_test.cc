// PluginEngine: which plug-ins it takes, and what crosses the boundary.
#include "plugin/plugin_engine.h"

#include "crypto/engine_set.h"
#include "support/scripted_engine.h"

namespace cygnet {
namespace {

using test::handles;
using test::kWhole;
using test::ScriptedEngineTest;

class PluginEngineTest : public ScriptedEngineTest {};

// --- Loading ---

TEST_F(PluginEngineTest, RefusesAPluginOfAnotherVersionOrForAnotherHost) {
  cygnet_engine table = kWhole;
  table.abi = CYGNET_ABI + 1;
  EXPECT_NE(Refusal(table).find("version 2, this host's 1"), std::string::npos);
  EXPECT_FALSE(PluginEngine::Open(nullptr, settings_).has_value());
}

TEST_F(PluginEngineTest, NamesTheMissingFunction) {
  const auto missing = [this](auto member, const char* name) {
    cygnet_engine table = kWhole;
    table.*member = nullptr;
    EXPECT_NE(Refusal(table).find(std::string("lacks the function ") + name), std::string::npos)
        << name;
  };
  missing(&cygnet_engine::open, "open");
  missing(&cygnet_engine::close, "close");
  missing(&cygnet_engine::supports, "supports");
  missing(&cygnet_engine::session_create, "session_create");
  missing(&cygnet_engine::session_destroy, "session_destroy");
  missing(&cygnet_engine::queue_create, "queue_create");
  missing(&cygnet_engine::queue_destroy, "queue_destroy");
  missing(&cygnet_engine::submit, "submit");
  missing(&cygnet_engine::poll, "poll");
  cygnet_engine table = kWhole;
  table.size = offsetof(cygnet_engine, submit);  // compiled before there was a submit
  EXPECT_NE(Refusal(table).find("submit"), std::string::npos);
}

TEST_F(PluginEngineTest, AnOlderPluginLacksTheMembersBehindItsSize) {
  cygnet_engine table = kWhole;
  const auto garbage = [](void*) { return int32_t{-1}; };
  table.wait_fd = garbage;  // what lies behind the struct of the plug-in
  table.size = offsetof(cygnet_engine, wait_fd);
  EXPECT_TRUE(Try(table).has_value());
  table.size = sizeof(table);
  EXPECT_NE(Refusal(table).find("some of wait_fd"), std::string::npos);
}

TEST_F(PluginEngineTest, NamesAreCheckedBecauseOperatorsAndListsUseThem) {
  cygnet_engine table = kWhole;
  for (const char* name : {"", "a b", "UPPER", "01234567890123456789012345678901"}) {
    table.name = name;
    EXPECT_NE(Refusal(table).find("name"), std::string::npos) << name;
  }
  table.name = nullptr;
  EXPECT_NE(Refusal(table).find("name"), std::string::npos);
  table.name = "openssl";
  EXPECT_NE(Refusal(table).find("built-in engine"), std::string::npos);
}

TEST_F(PluginEngineTest, PassesTheSettingsAndTheRefusal) {
  settings_.queues = 3;
  settings_.engine = {.threads = 2, .queue_depth = 77, .session_limit = 5, .fips = true};
  settings_.options = {"card=0000:3d:00.0", "plain", "a=b=c"};
  const auto engine = Try(kWhole);
  ASSERT_TRUE(engine.has_value());
  EXPECT_EQ(script_.options, (std::vector<std::string>{"card|0000:3d:00.0", "plain|", "a|b=c"}));
  EXPECT_EQ(script_.config.queues, 3u);
  EXPECT_EQ(script_.config.queue_depth, 77u);
  EXPECT_EQ(script_.config.threads, 2u);
  EXPECT_EQ(script_.config.session_limit, 5u);
  EXPECT_EQ(script_.config.fips, 1u);
  settings_.options = {"no"};
  const auto refused = Try(kWhole);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kNoDevice);
  EXPECT_EQ(refused.error().message, "scripted: the card is gone");
}

TEST_F(PluginEngineTest, ClosesAfterTheLastSessionAndQueue) {
  Make();
  engine_.reset();
  EXPECT_EQ(script_.open, 1);
  session_.reset();
  EXPECT_EQ(script_.open, 1);
  queue_.reset();
  EXPECT_EQ(script_.open, 0);
  EXPECT_EQ(script_.sessions, 0);
  EXPECT_EQ(script_.queues, 0);
}

// --- Jobs ---

TEST_F(PluginEngineTest, AJobCrossesWholeAndComesBackAsItsOwnersCopy) {
  Make();
  auto jobs = Jobs(2);
  CryptoJob& job = jobs[1];
  job.aad_length = 12;
  job.nonce.fill(3);
  job.aad.fill(4);
  job.auth_begin = text_.data() + 1;
  job.esn_high = 99;
  job.append_esn_high = true;
  ASSERT_EQ(queue_->Submit(jobs), 2u);
  EXPECT_EQ(job.status, CryptoStatus::kPending);
  const cygnet_crypto_job& seen = *script_.held[1];
  EXPECT_EQ(seen.session, &handles[0]);
  EXPECT_EQ(seen.text, job.text);
  EXPECT_EQ(seen.text_length, 100u);
  EXPECT_EQ(seen.icv, job.icv);
  EXPECT_EQ(seen.aad_length, 12u);
  EXPECT_TRUE(std::ranges::equal(seen.nonce, job.nonce));
  EXPECT_TRUE(std::ranges::equal(seen.aad, job.aad));
  EXPECT_EQ(seen.auth_begin, job.auth_begin);
  EXPECT_EQ(seen.esn_high, 99u);
  EXPECT_EQ(seen.append_esn_high, 1u);
  Complete(1, CYGNET_NOT_DONE);
  Complete(0, CYGNET_AUTH_FAILED);
  const auto done = Poll();
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[0].status, CryptoStatus::kNotDone);
  EXPECT_EQ(done[0].tag, 1001u);
  EXPECT_EQ(done[0].index, 11u);
  EXPECT_EQ(done[0].session, session_.get());
  EXPECT_EQ(done[0].text, job.text);
  EXPECT_EQ(done[0].esn_high, 99u);
  EXPECT_TRUE(done[0].append_esn_high);
  EXPECT_EQ(done[1].status, CryptoStatus::kAuthFailed);
  EXPECT_EQ(done[1].tag, 1000u);
  EXPECT_EQ(engine_->stats().jobs, 2u);
  EXPECT_EQ(engine_->stats().not_done, 1u);
}

TEST_F(PluginEngineTest, BackPressureOfThePluginAndOfTheDepth) {
  settings_.engine.queue_depth = 100;
  Make();
  script_.accept = 5;
  EXPECT_EQ(Submit(20), 5u);
  script_.accept = ~0u;
  EXPECT_EQ(Submit(200), 95u) << "the rest of the depth";
  EXPECT_EQ(Submit(1), 0u);
  EXPECT_EQ(engine_->stats().in_flight, 100u);
  EXPECT_EQ(engine_->stats().refused, 15u + 105u + 1u);
  EXPECT_FALSE(queue_->PrepareWait()) << "nothing would wake the thread";
  for (std::size_t i = 0; i < 100; ++i) Complete(i);
  EXPECT_EQ(Poll().size() + Poll().size(), 100u);
  EXPECT_TRUE(queue_->PrepareWait());
  EXPECT_EQ(Submit(7), 7u);
}

TEST_F(PluginEngineTest, ATextLongerThanTheLimitGoesToTheCpu) {
  Make();
  auto jobs = Jobs(3);
  jobs[1].text_length = 2001;
  EXPECT_EQ(queue_->Submit(jobs), 1u);
  EXPECT_EQ(script_.held.size(), 1u);
}

TEST_F(PluginEngineTest, LimitsAndRefusalsOfSessions) {
  settings_.engine.session_limit = 2;
  Make();
  const auto second = TrySession();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(TrySession().error().code, Errc::kNoSpace);
  session_.reset();
  script_.session_answer = -EOPNOTSUPP;
  EXPECT_EQ(TrySession(36).error().code, Errc::kNotSupported);
  script_.session_answer = 0;
  script_.state = CYGNET_ENGINE_DOWN;
  EXPECT_EQ(TrySession().error().code, Errc::kNetworkDown);
  EXPECT_EQ(engine_->failure(), "");
  script_.state = CYGNET_ENGINE_UP;
  EXPECT_TRUE(TrySession().has_value());
}

TEST_F(PluginEngineTest, StandsInTheSetAsALookAsideEngine) {
  EngineSet set;
  auto engine = Try(kWhole);
  ASSERT_TRUE(engine.has_value());
  PluginEngine* plugin = engine->get();
  set.Add(&plugin->info(), *std::move(engine));
  EXPECT_EQ(set[0].info->name, "scripted");
  EXPECT_EQ(set.Find(EngineKind::kLookAside,
                     *FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))"), nullptr),
            0u);
  EXPECT_EQ(Text(plugin->identity()), "scripted 7");
}

}  // namespace
}  // namespace cygnet
