// PluginEngine over a plug-in that the test scripts: what crosses the boundary, and what happens
// when the plug-in breaks its contract.
#include "plugin/plugin_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/log.h"
#include "crypto/engine_set.h"

namespace cygnet {
namespace {

// What the scripted plug-in is to do, and what it saw. One at a time.
struct Script {
  std::vector<cygnet_crypto_job*> held;  // submitted, not completed
  std::vector<cygnet_completion> ready;  // next answers of poll
  std::vector<std::string> options;
  cygnet_engine_config config{};
  uint32_t accept = ~0u;      // of each submit
  uint32_t lie_accepted = 0;  // added to the answer of submit
  uint32_t lie_ready = 0;     // added to the answer of poll
  uint32_t state = CYGNET_ENGINE_UP;
  int32_t session_answer = 0;
  void* session = nullptr;  // nullptr: a new one each time
  bool null_session = false;
  bool null_queue = false;
  int open = 0, sessions = 0, queues = 0, made = 0;
  const cygnet_host* host = nullptr;
};
Script* script = nullptr;
uint8_t handles[64];

int32_t ScriptOpen(const cygnet_host* host, const cygnet_engine_config* config, void** engine,
                   cygnet_refusal* refusal) {
  script->host = host;
  script->config = *config;
  for (uint32_t i = 0; i < config->option_count; ++i) {
    const cygnet_option& option = config->options[i];
    script->options.push_back(std::string(option.key) + "|" + option.value);
    if (std::string_view(option.key) == "no") {
      std::strcpy(refusal->text, "the card is gone");
      return -ENODEV;
    }
  }
  ++script->open;
  *engine = script;
  return 0;
}

const cygnet_engine kWhole = {
    .abi = CYGNET_ABI,
    .size = sizeof(cygnet_engine),
    .name = "scripted",
    .version = "7",
    .vendor = "Test",
    .help = nullptr,
    .open = ScriptOpen,
    .close = [](void*) { --script->open; },
    .identity = nullptr,
    .limits =
        [](void*, cygnet_engine_limits* limits) {
          limits->text_bytes = 2000;
          return int32_t{0};
        },
    .state = [](void*) { return script->state; },
    .supports =
        [](void*, const cygnet_session_params* params) {
          const bool gcm = std::string_view(params->cipher.name) == "rfc4106(gcm(aes))";
          const bool does = gcm && params->cipher.key.data == nullptr &&
                            params->cipher.key.length == 20 && params->cipher.icv_bytes == 16;
          return does ? int32_t{0} : int32_t{-EOPNOTSUPP};
        },
    .session_create =
        [](void*, const cygnet_session_params*, void** session, cygnet_refusal*) {
          if (script->session_answer != 0) return script->session_answer;
          *session = script->session != nullptr ? script->session : &handles[script->made++];
          if (script->null_session) *session = nullptr;
          ++script->sessions;
          return int32_t{0};
        },
    .session_destroy = [](void*, void*) { --script->sessions; },
    .queue_create =
        [](void*, uint32_t number, void** queue) {
          *queue = script->null_queue ? nullptr : &handles[32 + number];
          ++script->queues;
          return int32_t{0};
        },
    .queue_destroy = [](void*, void*) { --script->queues; },
    .submit =
        [](void*, cygnet_crypto_job* const* jobs, uint32_t count) {
          const uint32_t n = std::min(count, script->accept);
          script->held.insert(script->held.end(), jobs, jobs + n);
          return n + script->lie_accepted;
        },
    .poll =
        [](void*, cygnet_completion* done, uint32_t room) {
          const auto n = std::min<std::size_t>(room, script->ready.size());
          std::copy_n(script->ready.begin(), n, done);
          script->ready.erase(script->ready.begin(),
                              script->ready.begin() + static_cast<std::ptrdiff_t>(n));
          return static_cast<uint32_t>(n) + script->lie_ready;
        },
    .wait_fd = nullptr,
    .prepare_wait = nullptr,
    .finish_wait = nullptr,
};

class PluginEngineTest : public testing::Test {
 protected:
  PluginEngineTest() {
    script = &script_;
    SetLogSink([](LogLevel, std::string_view) {});
  }
  ~PluginEngineTest() override {
    Drop();
    script = nullptr;
  }
  void Drop() {
    session_.reset();
    queue_.reset();
    engine_.reset();
  }

  Result<std::unique_ptr<PluginEngine>> Try(const cygnet_engine& table) {
    return PluginEngine::Open(&table, settings_);
  }
  std::string Refusal(const cygnet_engine& table) {
    const auto engine = Try(table);
    EXPECT_FALSE(engine.has_value());
    EXPECT_EQ(script_.open, 0);
    return engine.has_value() ? "" : engine.error().message;
  }
  Result<std::unique_ptr<CryptoSession>> TrySession(std::size_t key_bytes = 20) {
    const std::vector<uint8_t> key(key_bytes);
    return engine_->CreateSession(
        {.cipher = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))"),
         .key = key,
         .icv_bytes = 16});
  }
  // An engine with a session and a queue.
  void Make() {
    auto engine = Try(kWhole);
    ASSERT_TRUE(engine.has_value()) << engine.error().message;
    engine_ = *std::move(engine);
    queue_ = engine_->CreateQueue(0);
    auto session = TrySession();
    ASSERT_TRUE(session.has_value()) << session.error().message;
    session_ = *std::move(session);
  }
  std::vector<CryptoJob> Jobs(std::size_t count) {
    std::vector<CryptoJob> jobs(count);
    for (std::size_t i = 0; i < count; ++i) {
      jobs[i].session = session_.get();
      jobs[i].text = text_.data();
      jobs[i].text_length = 100;
      jobs[i].icv = text_.data() + 100;
      jobs[i].tag = static_cast<uint32_t>(i + 1000);
      jobs[i].index = static_cast<uint16_t>(i + 10);
    }
    return jobs;
  }
  std::size_t Submit(std::size_t count) {
    auto jobs = Jobs(count);
    return queue_->Submit(jobs);
  }
  void Complete(std::size_t held, uint32_t status = CYGNET_OK) {
    script_.ready.push_back({script_.held[held]->cookie, status, 0});
  }
  std::vector<CryptoJob> Poll() {
    std::vector<CryptoJob> done(64);
    done.resize(queue_->Poll(done));
    return done;
  }
  // After a breach, with `held` jobs in flight at the time of it.
  void ExpectFailed(std::string_view why, std::size_t held) {
    EXPECT_NE(engine_->failure().find(why), std::string::npos) << engine_->failure();
    EXPECT_EQ(script_.queues, 0) << "the queue must be destroyed before its packets are released";
    EXPECT_EQ(handed_back_, held);
    EXPECT_EQ(Submit(3), 0u) << "a failed engine accepts nothing";
    EXPECT_TRUE(Poll().empty());
    EXPECT_TRUE(queue_->PrepareWait());
    const auto session = TrySession();
    ASSERT_FALSE(session.has_value());
    EXPECT_EQ(session.error().code, Errc::kNetworkDown);
    EXPECT_EQ(engine_->stats().in_flight, 0u);
  }
  // Polls once and counts what comes back as unusable.
  void PollBreach() {
    for (const CryptoJob& job : Poll()) {
      EXPECT_EQ(job.status, CryptoStatus::kError);
      ++handed_back_;
    }
  }

  Script script_;
  PluginEngineSettings settings_;
  std::vector<uint8_t> text_ = std::vector<uint8_t>(4096);
  std::unique_ptr<PluginEngine> engine_;
  std::unique_ptr<CryptoSession> session_;
  std::unique_ptr<CryptoQueue> queue_;
  std::size_t handed_back_ = 0;
};

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

// --- Breaches ---

TEST_F(PluginEngineTest, ACompletionOfAJobThatItNeverGot) {
  Make();
  ASSERT_EQ(Submit(4), 4u);
  script_.ready.push_back({~uint64_t{0}, CYGNET_OK, 0});
  PollBreach();
  ExpectFailed("never got", 4);
}

TEST_F(PluginEngineTest, ACompletionOfAJobThatItDidNotAccept) {
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

TEST_F(PluginEngineTest, ACompletionTwiceAtOnce) {
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
TEST_F(PluginEngineTest, ACompletionTwiceLater) {
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

TEST_F(PluginEngineTest, AnUnknownStatus) {
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

TEST_F(PluginEngineTest, MoreAcceptedThanSubmitted) {
  Make();
  script_.lie_accepted = 1;
  EXPECT_EQ(Submit(4), 4u);
  PollBreach();
  ExpectFailed("accepted more jobs", 4);
}

TEST_F(PluginEngineTest, MoreCompletionsThanRoom) {
  Make();
  ASSERT_EQ(Submit(4), 4u);
  script_.lie_ready = 65;
  PollBreach();
  ExpectFailed("more completions", 4);
}

TEST_F(PluginEngineTest, ASessionTwiceOrNone) {
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

TEST_F(PluginEngineTest, NoQueue) {
  Make();
  script_.null_queue = true;
  queue_ = engine_->CreateQueue(1);
  EXPECT_NE(engine_->failure().find("returned no queue"), std::string::npos);
  EXPECT_EQ(Submit(1), 0u);
}

TEST_F(PluginEngineTest, AJobThatNeverCompletes) {
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

TEST_F(PluginEngineTest, AStateThatItReports) {
  Make();
  ASSERT_EQ(Submit(2), 2u);
  script_.state = CYGNET_ENGINE_FAILED;
  EXPECT_TRUE(Poll().empty()) << "it has not rung";
  script_.host->ring(script_.host->context);
  PollBreach();
  ExpectFailed("reports that it has failed", 2);
}

TEST_F(PluginEngineTest, TheOtherQueuesGiveTheirPacketsBackToo) {
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
