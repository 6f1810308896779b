// PluginEngine over a plug-in that a test scripts.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "plugin/plugin_engine.h"

namespace cygnet::test {

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
inline Script* script = nullptr;
inline uint8_t handles[64];

inline int32_t ScriptOpen(const cygnet_host* host, const cygnet_engine_config* config,
                          void** engine, cygnet_refusal* refusal) {
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

inline const cygnet_engine kWhole = {
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

class ScriptedEngineTest : public testing::Test {
 protected:
  ScriptedEngineTest() {
    script = &script_;
    SetLogSink([](LogLevel, std::string_view) {});
  }
  ~ScriptedEngineTest() override {
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

}  // namespace cygnet::test
