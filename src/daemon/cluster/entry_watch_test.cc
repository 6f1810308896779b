#include "daemon/cluster/entry_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/cluster/boot_clock.h"
#include "support/etcd_server.h"

namespace cygnet {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kPrefix = "/cygnet/v1/site/";

class EntryWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!test::EtcdServer::IsInstalled()) GTEST_SKIP() << "etcd is not installed";
    etcd_ = std::make_unique<test::EtcdServer>();
    calls_ = std::make_unique<EtcdCalls>(EtcdParams{.endpoints = {etcd_->endpoint()}});
    watch_ = std::make_unique<EntryWatch>(calls_.get(), kPrefix, [this](const ClusterEvent& event) {
      if (event.kind == ClusterEvent::Kind::kEntry) {
        told_.push_back(event.key + (event.value.empty() ? " removed" : "=" + event.value));
      } else {
        known_.push_back(event.kind == ClusterEvent::Kind::kEntriesRead);
      }
    });
  }
  // What is told within a time, or until there are `count`.
  std::vector<std::string> Told(std::size_t count, int at_most_ms = 3000) {
    for (const uint64_t end = BootNs() + static_cast<uint64_t>(at_most_ms) * 1'000'000;
         told_.size() < count && BootNs() < end;) {
      watch_->Tick(BootNs());
      calls_->Wait(-1, 10);
      calls_->Work();
    }
    return std::exchange(told_, {});
  }
  void Do(EtcdOp op) {
    op.key = kPrefix + op.key;
    EtcdClient client({.endpoints = {etcd_->endpoint()}});
    ASSERT_TRUE(client.Txn({.then = {std::move(op)}}, 2000));
  }

  std::unique_ptr<test::EtcdServer> etcd_;
  std::vector<std::string> told_;
  std::vector<bool> known_;  // whether all entries are
  std::unique_ptr<EtcdCalls> calls_;
  std::unique_ptr<EntryWatch> watch_;
};

TEST_F(EntryWatchTest, ManyEntriesComeInPages) {
  EtcdClient client({.endpoints = {etcd_->endpoint()}});
  for (int txn = 0; txn < 12; ++txn) {
    EtcdTxn put;
    for (int i = 0; i < 100; ++i) {
      put.then.push_back(EtcdPut(kPrefix + "sa/" + std::to_string(txn * 100 + i) + "/spec", "x"));
    }
    ASSERT_TRUE(client.Txn(put, 5000));
  }
  EXPECT_EQ(Told(1000).size(), 1000u);
  EXPECT_THAT(known_, IsEmpty());
  EXPECT_EQ(Told(200).size(), 200u);
  EXPECT_THAT(Told(1, 200), IsEmpty());
  EXPECT_THAT(known_, ElementsAre(true));
  Do(EtcdPut("sa/7/spec", "y"));
  EXPECT_THAT(Told(1), ElementsAre("sa/7/spec=y"));
}

TEST_F(EntryWatchTest, AfterACompactionAllIsReadAgain) {
  Do(EtcdPut("sa/1/spec", "one"));
  Do(EtcdPut("sa/2/spec", "two"));
  Do(EtcdPut("policy/3", "three"));
  EXPECT_EQ(Told(3).size(), 3u);
  // Nobody works here meanwhile: the stream breaks, and what it would say is compacted.
  etcd_->Kill();
  etcd_->Start();
  Do(EtcdDelete("sa/1/spec"));
  Do(EtcdPut("sa/2/spec", "TWO"));
  Do(EtcdPut("sa/4/spec", "four"));
  EtcdClient client({.endpoints = {etcd_->endpoint()}});
  const auto now = client.Range(EtcdGet("x"), 2000);
  ASSERT_TRUE(now);
  ASSERT_TRUE(client.Call("/v3/kv/compaction",
                          "{\"revision\":\"" + std::to_string(now->header.revision) + "\"}", 2000));
  EXPECT_THAT(Told(3), ElementsAre("sa/2/spec=TWO", "sa/4/spec=four", "sa/1/spec removed"));
  Do(EtcdPut("sa/1/spec", "again"));
  EXPECT_THAT(Told(1), ElementsAre("sa/1/spec=again"));
  EXPECT_THAT(known_, ElementsAre(true, false, true));
}

TEST_F(EntryWatchTest, ARestartTellsAllOnceMore) {
  Do(EtcdPut("sa/1/spec", "one"));
  Do(EtcdPut("num/1/out", "5"));
  EXPECT_THAT(Told(1), ElementsAre("sa/1/spec=one"));
  watch_->Restart();
  EXPECT_THAT(Told(1), ElementsAre("sa/1/spec=one"));
}

}  // namespace
}  // namespace cygnet
