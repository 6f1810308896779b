#include "daemon/cluster/cluster_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "base/log.h"
#include "daemon/cluster/cluster_keys.h"
#include "daemon/cluster/cluster_store.h"
#include "support/etcd_server.h"
#include "support/fence_fixture.h"

namespace cygnet {
namespace {

using Kind = ClusterEvent::Kind;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr GroupId kBlue = 1;

// A node of the cluster, whose control loop calls Alive unless it hangs. Its group's address is on
// the interface `device`.
class Gateway {
 public:
  Gateway(std::string name, int number, std::string device)
      : name_(std::move(name)), number_(number), device_(std::move(device)) {}
  ~Gateway() { End(); }
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  void Start(const ClusterConfig& common) {
    ClusterConfig config = common;
    config.node = name_;
    config.heartbeat = "127.0.0.1:" + std::to_string(45200 + number_);
    for (ClusterGroupConfig& group : config.groups)
      group.addresses = {"192.0.2.1/24 dev " + device_};
    static Incarnation incarnations = 1000;
    auto node = MakeClusterThread(config, ++incarnations, hold);
    ASSERT_TRUE(node) << node.error().message;
    node_ = *std::move(node);
    hangs = false;
    stop_ = false;
    loop_ = std::thread([this] {
      while (!stop_) {
        if (!hangs) node_->Alive();
        for (ClusterEvent& event : node_->Take()) {
          const std::lock_guard lock(mutex_);
          events_.push_back(std::move(event));
        }
        std::this_thread::sleep_for(milliseconds(5));
      }
    });
  }
  void End() {
    if (!loop_.joinable()) return;
    stop_ = true;
    loop_.join();
    node_.reset();
  }
  ClusterNode* node() { return node_.get(); }

  TrafficHold* hold = nullptr;

  // Waits for an event; how long it took, in ms; -1: it does not come.
  int WaitFor(Kind kind, int at_most_ms = 8000, const std::string& key = "") {
    const auto start = std::chrono::steady_clock::now();
    for (;;) {
      const auto ms =
          std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
      {
        const std::lock_guard lock(mutex_);
        for (std::size_t i = 0; i < events_.size(); ++i) {
          if (events_[i].kind != kind || events_[i].key != key) continue;
          last = events_[i];
          events_.erase(events_.begin(), events_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
          return static_cast<int>(ms.count());
        }
      }
      if (ms.count() > at_most_ms) return -1;
      std::this_thread::sleep_for(milliseconds(2));
    }
  }
  bool HasAddress() const {
    return std::system(("ip -o addr show dev " + device_ + " | grep -qF 192.0.2.1/24").c_str()) ==
           0;
  }

  std::atomic<bool> hangs{false};
  ClusterEvent last;

 private:
  const std::string name_;
  const int number_;
  const std::string device_;
  std::unique_ptr<ClusterNode> node_;
  std::thread loop_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<ClusterEvent> events_;
};

class ClusterThreadTest : public test::FenceTest {
 protected:
  void SetUp() override {
    if (!test::EtcdServer::IsInstalled()) GTEST_SKIP() << "etcd is not installed";
    FenceTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(MakePair("wb"));
    etcd_ = std::make_unique<test::EtcdServer>();
    secret_file_ = testing::TempDir() + "cluster_secret_" + std::to_string(getpid());
    std::ofstream(secret_file_) << std::string(32, 's');
    chmod(secret_file_.c_str(), 0600);
    config_.name = "site";
    config_.endpoints = {etcd_->endpoint()};
    config_.secret_file = secret_file_;
    config_.groups = {{.name = "blue", .addresses = {}, .prefer = "gw1"}};
  }
  void TearDown() override { unlink(secret_file_.c_str()); }

  // gw1 works for the group, gw2 is ready and heard.
  void StartBoth() {
    gw1_.Start(config_);
    ASSERT_GE(gw1_.WaitFor(Kind::kGained), 0);
    gw2_.Start(config_);
    ASSERT_GE(gw2_.WaitFor(Kind::kOwner), 0);
    EXPECT_EQ(gw2_.last.owner.node, "gw1");
    std::this_thread::sleep_for(milliseconds(700));
    ASSERT_TRUE(gw1_.HasAddress());
    ASSERT_FALSE(gw2_.HasAddress());
  }
  EtcdEntry Stored(const std::string& key) {
    EtcdClient client({.endpoints = config_.endpoints});
    const auto range = client.Range(EtcdGet(ClusterPrefix("site") + key), 1000);
    EXPECT_TRUE(range);
    return range && !range->entries.empty() ? range->entries[0] : EtcdEntry();
  }
  void Put(const std::string& key, const std::string& value) {
    EtcdClient client({.endpoints = config_.endpoints});
    ASSERT_TRUE(client.Txn({.then = {EtcdPut(ClusterPrefix("site") + key, value)}}, 1000));
  }

  std::unique_ptr<test::EtcdServer> etcd_;
  std::string secret_file_;
  ClusterConfig config_;
  Gateway gw1_{"gw1", 1, "wa"};
  Gateway gw2_{"gw2", 2, "wb"};
};

TEST_F(ClusterThreadTest, ASilentOwnerIsReplaced) {
  StartBoth();
  EXPECT_TRUE(gw2_.node()->has_lease());
  ASSERT_EQ(gw2_.node()->peers().size(), 1u);
  EXPECT_TRUE(gw2_.node()->peers()[0].heard);
  gw1_.hangs = true;
  const int ms = gw2_.WaitFor(Kind::kGained);
  std::printf(
      "take-over: %d ms after the control thread hung; silence %lu ms, transaction %lu ms\n", ms,
      gw2_.last.silence_ns / 1'000'000, gw2_.last.transaction_ns / 1'000'000);
  ASSERT_GE(ms, 0);
  EXPECT_EQ(gw2_.last.owner.epoch, 2u);
  EXPECT_GT(gw2_.last.owner.revision, 0);
  EXPECT_THAT(gw2_.last.text, HasSubstr("no heartbeat of gw1"));
  EXPECT_TRUE(gw2_.HasAddress());
  ASSERT_GE(gw1_.WaitFor(Kind::kLost), 0);
  EXPECT_THAT(gw1_.last.text, HasSubstr("gw2"));
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_FALSE(gw1_.HasAddress());
  // Awake again, it does not take it back.
  gw1_.hangs = false;
  std::this_thread::sleep_for(milliseconds(1500));
  EXPECT_EQ(gw1_.node()->owners()[0].node, "gw2");
  EXPECT_EQ(ParseOwner(Stored(OwnerKey("blue")).value).owner.node, "gw2");
  EXPECT_THAT(Stored(HistoryKey("blue", 1)).value, HasSubstr("until"));
  EXPECT_THAT(Stored(HistoryKey("blue", 2)).value, HasSubstr("gw2"));
}

TEST_F(ClusterThreadTest, AGroupMovesInOneTransaction) {
  StartBoth();
  ASSERT_TRUE(gw1_.node()->Give(kBlue, "gw2"));
  ASSERT_GE(gw2_.WaitFor(Kind::kGained), 0);
  ASSERT_GE(gw1_.WaitFor(Kind::kLost), 0);
  EXPECT_EQ(gw1_.last.text, "given to gw2");
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_TRUE(gw2_.HasAddress());
  EXPECT_FALSE(gw1_.HasAddress());
  EXPECT_FALSE(gw1_.node()->Give(kBlue, "gw2")) << "it is not its own any more";
}

// What the thread asks of the workers, in order.
class FakeHold final : public TrafficHold {
 public:
  explicit FakeHold(std::string device) : device_(std::move(device)) {}
  bool IsDevice(const std::string& interface) const override { return interface == device_; }
  void HoldWires(uint32_t) override { Add("wires"); }
  void HoldHosts(uint32_t) override { Add("hosts"); }
  void Release() override { Add("release"); }
  std::vector<std::string> calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  void Add(const char* call) {
    const std::lock_guard lock(mutex_);
    calls_.emplace_back(call);
  }
  const std::string device_;
  mutable std::mutex mutex_;
  std::vector<std::string> calls_;
};

TEST_F(ClusterThreadTest, TheNextOwnerHoldsPacketsAndHasTheAddressesBeforeTheOwnerGives) {
  FakeHold hold("elsewhere");
  gw2_.hold = &hold;
  StartBoth();
  ASSERT_TRUE(gw1_.node()->Offer(kBlue, "gw2"));
  ASSERT_GE(gw1_.WaitFor(Kind::kReady), 0);
  EXPECT_EQ(gw1_.last.text, "gw2");
  EXPECT_THAT(hold.calls(), ElementsAre("wires", "hosts"));
  EXPECT_TRUE(gw2_.HasAddress());
  EXPECT_TRUE(gw1_.HasAddress());
  ASSERT_TRUE(gw1_.node()->Give(kBlue, "gw2"));
  ASSERT_GE(gw2_.WaitFor(Kind::kGained), 0);
  EXPECT_TRUE(gw2_.HasAddress());
  EXPECT_THAT(hold.calls(), ElementsAre("wires", "hosts")) << "the control thread ends it";
}

TEST_F(ClusterThreadTest, AMoveThatTheOwnerDoesNotEndTakesTheAddressesAwayAgain) {
  FakeHold hold("elsewhere");
  gw2_.hold = &hold;
  StartBoth();
  ASSERT_TRUE(gw1_.node()->Offer(kBlue, "gw2"));
  ASSERT_GE(gw1_.WaitFor(Kind::kReady), 0);
  ASSERT_GE(gw1_.WaitFor(Kind::kNotReady), 0);
  EXPECT_FALSE(gw2_.HasAddress());
  EXPECT_TRUE(gw1_.HasAddress());
  EXPECT_THAT(hold.calls(), ElementsAre("wires", "hosts", "release"));
}

TEST_F(ClusterThreadTest, HeartbeatsByADeviceAreNotHeld) {
  FakeHold hold("lo");
  gw2_.hold = &hold;
  StartBoth();
  ASSERT_TRUE(gw1_.node()->Offer(kBlue, "gw2"));
  ASSERT_GE(gw1_.WaitFor(Kind::kReady), 0);
  EXPECT_TRUE(hold.calls().empty());
  EXPECT_TRUE(gw2_.HasAddress());
}

TEST_F(ClusterThreadTest, AnOrderlyEndTakesTheAddressAway) {
  StartBoth();
  ASSERT_TRUE(gw1_.node()->Give(kBlue, ""));
  ASSERT_GE(gw2_.WaitFor(Kind::kGained), 0);
  gw1_.End();
  EXPECT_FALSE(gw1_.HasAddress());
  EXPECT_EQ(Stored(NodeKey("gw1")).mod_revision, 0) << "its lease is given back";
  gw2_.End();
  EXPECT_FALSE(gw2_.HasAddress());
}

TEST_F(ClusterThreadTest, APausedNodeGoesOnWhereItWas) {
  StartBoth();
  gw1_.node()->Pause(2000);
  gw1_.End();
  EXPECT_TRUE(gw1_.HasAddress()) << "the next start needs it";
  std::this_thread::sleep_for(milliseconds(500));
  gw1_.Start(config_);
  ASSERT_GE(gw1_.WaitFor(Kind::kGained), 0);
  EXPECT_THAT(gw1_.last.text, HasSubstr("an earlier start"));
  EXPECT_EQ(gw1_.last.owner.epoch, 2u);
  EXPECT_TRUE(gw1_.HasAddress());
  EXPECT_EQ(gw2_.WaitFor(Kind::kGained, 500), -1);
}

TEST_F(ClusterThreadTest, WhatAnEarlierStartLeftIsTakenAway) {
  ASSERT_TRUE(Run("ip addr add 192.0.2.1/24 dev wb"));
  gw1_.Start(config_);
  ASSERT_GE(gw1_.WaitFor(Kind::kGained), 0);
  gw2_.Start(config_);
  ASSERT_GE(gw2_.WaitFor(Kind::kOwner), 0);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_FALSE(gw2_.HasAddress());
}

TEST_F(ClusterThreadTest, WithoutTheStoreTheOwnerGoesOn) {
  StartBoth();
  etcd_->Suspend();
  ASSERT_GE(gw1_.WaitFor(Kind::kStoreAway), 0);
  EXPECT_THAT(gw1_.last.text, HasSubstr(etcd_->endpoint()));
  ASSERT_GE(gw2_.WaitFor(Kind::kStoreAway), 0);
  std::this_thread::sleep_for(milliseconds(4000));
  EXPECT_FALSE(gw1_.node()->has_lease());
  EXPECT_TRUE(gw1_.HasAddress()) << "gw2 is heard, and claims nothing";
  etcd_->Resume();
  ASSERT_GE(gw1_.WaitFor(Kind::kStoreBack), 0);
  std::this_thread::sleep_for(milliseconds(2000));
  EXPECT_TRUE(gw1_.node()->has_lease());
  EXPECT_EQ(ParseOwner(Stored(OwnerKey("blue")).value).owner.epoch, 1u);
}

TEST_F(ClusterThreadTest, AWipedStoreIsNoticed) {
  StartBoth();
  etcd_->Wipe("two");
  ASSERT_GE(gw1_.WaitFor(Kind::kWentBack), 0);
  EXPECT_EQ(gw1_.last.text, "another store answers than before");
  ASSERT_GE(gw1_.WaitFor(Kind::kGained), 0);
  EXPECT_EQ(gw1_.last.owner.epoch, 2u) << "an epoch is not used twice";
}

TEST_F(ClusterThreadTest, AWatchThatBreaksBeginsAgain) {
  StartBoth();
  etcd_->Kill();
  etcd_->Start();
  std::this_thread::sleep_for(milliseconds(2500));
  ASSERT_TRUE(gw1_.node()->Give(kBlue, "gw2"));
  EXPECT_GE(gw2_.WaitFor(Kind::kGained), 0);
}

TEST_F(ClusterThreadTest, ANodeWithAnotherSecretIsNotHeard) {
  gw1_.Start(config_);
  ASSERT_GE(gw1_.WaitFor(Kind::kGained), 0);
  std::ofstream(secret_file_) << std::string(32, 'x');
  // Other tests of this program want no lines.
  SetLogSink([](LogLevel, std::string_view text) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
  });
  testing::internal::CaptureStderr();
  gw2_.Start(config_);
  ASSERT_GE(gw2_.WaitFor(Kind::kOwner), 0);
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_FALSE(gw2_.node()->peers().at(0).heard);
  EXPECT_FALSE(gw1_.node()->peers().at(0).heard);
  gw1_.End();
  gw2_.End();
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("heartbeats were refused since the start, the last one from 127.0.0.1"));
}

TEST_F(ClusterThreadTest, AnEndpointThatDoesNotAnswerIsPassedOver) {
  config_.endpoints = {"http://127.0.0.1:1", etcd_->endpoint()};
  gw1_.Start(config_);
  ASSERT_GE(gw1_.WaitFor(Kind::kGained), 0);
  EXPECT_EQ(gw1_.WaitFor(Kind::kStoreAway, 1500), -1);
  config_.endpoints = {etcd_->endpoint()};
}

TEST_F(ClusterThreadTest, EntriesAreToldFromTheFirstOn) {
  config_.share = ClusterShare::kSas;
  Put("sa/01/spec", "one");
  Put("policy/a", std::string("\0\xff", 2));
  Put("num/01/out", "7");
  gw1_.Start(config_);
  ASSERT_GE(gw1_.WaitFor(Kind::kEntry, 5000, "policy/a"), 0);
  EXPECT_EQ(gw1_.last.value, std::string("\0\xff", 2));
  ASSERT_GE(gw1_.WaitFor(Kind::kEntry, 5000, "sa/01/spec"), 0);
  EXPECT_EQ(gw1_.last.value, "one");
  Put("sa/02/spec", "two");
  ASSERT_GE(gw1_.WaitFor(Kind::kEntry, 5000, "sa/02/spec"), 0);
  EtcdClient client({.endpoints = config_.endpoints});
  ASSERT_TRUE(client.Txn({.then = {EtcdDelete(ClusterPrefix("site") + "sa/01/spec")}}, 1000));
  ASSERT_GE(gw1_.WaitFor(Kind::kEntry, 5000, "sa/01/spec"), 0);
  EXPECT_TRUE(gw1_.last.value.empty());
  EXPECT_EQ(gw1_.WaitFor(Kind::kEntry, 300, "num/01/out"), -1);
  // What changes while nobody listens is told afterwards.
  etcd_->Kill();
  etcd_->Start();
  ASSERT_TRUE(client.Txn({.then = {EtcdDelete(ClusterPrefix("site") + "sa/02/spec")}}, 1000));
  ASSERT_GE(gw1_.WaitFor(Kind::kEntry, 5000, "sa/02/spec"), 0);
  EXPECT_TRUE(gw1_.last.value.empty());
}

TEST_F(ClusterThreadTest, WhatThisHostCannotDoIsAnErrorAtOnce) {
  config_.node = "gw1";
  config_.heartbeat = "127.0.0.1:45209";
  config_.groups[0].addresses = {"192.0.2.1/24 dev wa"};
  ClusterConfig wrong = config_;
  wrong.secret_file = "/nonexistent";
  EXPECT_FALSE(MakeClusterThread(wrong, 1, nullptr));
  wrong = config_;
  std::ofstream(secret_file_) << "short";
  const auto made = MakeClusterThread(wrong, 1, nullptr);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("32 to 256 random bytes"));
  wrong.heartbeat = "gw1";
  std::ofstream(secret_file_) << std::string(40, 'x');
  EXPECT_FALSE(MakeClusterThread(wrong, 1, nullptr));
}

}  // namespace
}  // namespace cygnet
