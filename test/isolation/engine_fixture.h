// An isolated engine with one session for each direction and one queue, used through its C table.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "isolation/public_copy.h"
#include "plugin/isolation/isolation.h"

namespace cygnet {

using namespace std::chrono_literals;

// Collects what a plug-in says.
class RecordingHost {
 public:
  RecordingHost() {
    host_.abi = CYGNET_ABI;
    host_.size = sizeof(host_);
    host_.context = this;
    host_.log = [](void* c, uint32_t, const char* text) {
      auto* self = static_cast<RecordingHost*>(c);
      const std::lock_guard lock(self->lock_);
      self->lines_.emplace_back(text);
    };
    host_.ring = [](void* c) { ++static_cast<RecordingHost*>(c)->rings_; };
  }
  const cygnet_host* host() const { return &host_; }
  int rings() const { return rings_; }
  std::vector<std::string> lines() const {
    const std::lock_guard lock(lock_);
    return lines_;
  }
  // A line that contains `part`, once it comes; empty: it does not.
  std::string Wait(const std::string& part) const {
    for (int i = 0; i < 500; ++i) {
      for (const std::string& line : lines()) {
        if (line.find(part) != std::string::npos) return line;
      }
      std::this_thread::sleep_for(10ms);
    }
    return {};
  }

 private:
  cygnet_host host_{};
  mutable std::mutex lock_;
  std::vector<std::string> lines_;
  std::atomic<int> rings_{0};
};

class IsolatedEngineTest : public testing::Test {
 protected:
  static constexpr uint32_t kDepth = 64;
  static constexpr uint32_t kIcv = 16;

  void SetUp() override {
    settings_.program = host_program_.path();
    settings_.patience = 1000ms;
  }
  void TearDown() override { Close(); }

  // Opens the test engine with behave=WORD.
  void Open(const std::string& behave = "") {
    auto table = LoadIsolatedEngine(engine_file_.path(), settings_);
    ASSERT_TRUE(table) << table.error().message;
    table_ = *table;
    ASSERT_EQ(OpenTable(behave), 0) << refusal_.text;
  }
  int32_t OpenTable(const std::string& behave) {
    const cygnet_option options[] = {{"behave", behave.c_str()}};
    cygnet_engine_config config{};
    config.size = sizeof(config);
    config.queues = 2;
    config.queue_depth = kDepth;
    config.threads = 1;
    config.options = options;
    config.option_count = 1;
    refusal_ = {};
    refusal_.size = sizeof(refusal_);
    return table_->open(host_.host(), &config, &engine_, &refusal_);
  }
  void Close() {
    if (engine_ == nullptr) return;
    if (queue_ != nullptr) table_->queue_destroy(engine_, queue_);
    for (void* session : {seal_, open_}) {
      if (session != nullptr) table_->session_destroy(engine_, session);
    }
    table_->close(engine_);
    engine_ = queue_ = seal_ = open_ = nullptr;
  }

  int32_t MakeSession(uint32_t direction, void** session) {
    cygnet_session_params params{};
    params.size = sizeof(params);
    params.direction = direction;
    params.queues = 1;
    params.cipher.name = "rfc4106(gcm(aes))";
    params.cipher.key = {key_.data(), static_cast<uint32_t>(key_.size())};
    params.cipher.salt_bytes = 4;
    params.cipher.iv_bytes = 8;
    params.cipher.icv_bytes = kIcv;
    return table_->session_create(engine_, &params, session, &refusal_);
  }
  void MakeSessions() {
    ASSERT_EQ(MakeSession(CYGNET_SEAL, &seal_), 0) << refusal_.text;
    ASSERT_EQ(MakeSession(CYGNET_OPEN, &open_), 0) << refusal_.text;
    MakeQueue();
  }
  void MakeQueue() { ASSERT_EQ(table_->queue_create(engine_, 0, &queue_), 0); }

  struct Packet {
    std::array<uint8_t, 1500 + kIcv> bytes{};
    cygnet_crypto_job job{};
  };
  void Fill(Packet* packet, void* session, uint32_t length, uint64_t cookie) const {
    for (uint32_t i = 0; i < length; ++i) packet->bytes[i] = static_cast<uint8_t>(i + cookie);
    packet->job.session = session;
    packet->job.cookie = cookie;
    packet->job.text = packet->bytes.data();
    packet->job.text_length = length;
    packet->job.aad_length = 8;
    packet->job.icv = packet->bytes.data() + length;
  }
  uint32_t Submit(std::vector<Packet>* packets) {
    std::vector<cygnet_crypto_job*> jobs;
    for (Packet& packet : *packets) jobs.push_back(&packet.job);
    return table_->submit(queue_, jobs.data(), static_cast<uint32_t>(jobs.size()));
  }
  // Completions, until there are `n` or five seconds have passed.
  std::vector<cygnet_completion> Collect(std::size_t n) {
    std::vector<cygnet_completion> all;
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (all.size() < n && std::chrono::steady_clock::now() < end) {
      std::array<cygnet_completion, 64> done;
      const uint32_t got = table_->poll(queue_, done.data(), 64);
      all.insert(all.end(), done.begin(), done.begin() + got);
    }
    return all;
  }
  // Submits `n` packets; each comes back as not done, as it was; then the engine has failed.
  void ExpectFailureWithoutLoss(std::size_t n) {
    std::vector<Packet> packets(n);
    for (std::size_t i = 0; i < n; ++i) Fill(&packets[i], seal_, 100, i);
    const std::vector<Packet> before = packets;
    const uint32_t accepted = Submit(&packets);
    const auto done = Collect(accepted);
    ASSERT_EQ(done.size(), accepted);
    for (const cygnet_completion& c : done) EXPECT_EQ(c.status, uint32_t{CYGNET_NOT_DONE});
    for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(packets[i].bytes, before[i].bytes);
    EXPECT_TRUE(WaitForFailure());
    EXPECT_EQ(Submit(&packets), 0u);
    EXPECT_EQ(table_->poll(queue_, nullptr, 0), 0u);
  }
  bool WaitForFailure() {
    for (int i = 0; i < 500; ++i) {
      if (table_->state(engine_) == CYGNET_ENGINE_FAILED) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

  // The process of the engine that is open.
  pid_t ChildPid() const {
    const std::string line = host_.Wait("runs in process ");
    return static_cast<pid_t>(std::atoi(line.c_str() + line.find("process ") + 8));
  }

  PublicCopy host_program_{CYGNET_PLUGIN_HOST_BUILT};
  PublicCopy engine_file_{CYGNET_XOR_ENGINE};
  IsolationSettings settings_;
  RecordingHost host_;
  std::vector<uint8_t> key_ = std::vector<uint8_t>(20, 0x5c);
  const cygnet_engine* table_ = nullptr;
  cygnet_refusal refusal_{};
  void* engine_ = nullptr;
  void* queue_ = nullptr;
  void* seal_ = nullptr;
  void* open_ = nullptr;
};

}  // namespace cygnet
