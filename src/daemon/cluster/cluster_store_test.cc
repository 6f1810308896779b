// The number store of a cluster, with a real etcd.
#include "daemon/cluster/cluster_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <set>
#include <thread>

#include "support/etcd_server.h"
#include "support/tcp_relay.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::EtcdServer;
using test::TcpRelay;
using ::testing::HasSubstr;

class ClusterStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!EtcdServer::IsInstalled()) GTEST_SKIP() << "etcd-server is not installed";
    std::string name = "/tmp/cygnet_store.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    etcd_ = std::make_unique<EtcdServer>();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  ClusterStore::Params ParamsOf(const std::string& node) {
    return {.etcd = {.endpoints = {etcd_->endpoint()}},
            .cluster = "site",
            .node = node,
            .incarnation = 7,
            .state_file = folder_ + "/" + node,
            .groups = {{.name = "west", .addresses = {"192.0.2.1/24 dev nic0"}, .prefer = {}},
                       {.name = "east", .addresses = {"2001:db8::1/64 dev nic0"}, .prefer = {}}},
            .timeout_ms = 2000,
            .probe_each_ms = 50};
  }
  static std::unique_ptr<ClusterStore> Open(const ClusterStore::Params& params) {
    static const SystemClock clock;
    auto store = ClusterStore::Open(params, KeyMaterial(test::Pattern(32)), &clock);
    EXPECT_TRUE(store) << store.error().message;
    return store ? *std::move(store) : nullptr;
  }
  std::unique_ptr<ClusterStore> Open(const std::string& node) { return Open(ParamsOf(node)); }

  EtcdClient Client() { return EtcdClient({.endpoints = {etcd_->endpoint()}}); }
  // Another node takes the group: its revision.
  int64_t WriteOwner(const std::string& group, const std::string& node) {
    EtcdClient client = Client();
    const auto answer = client.Txn(
        {.then = {EtcdPut(ClusterPrefix("site") + "group/" + group + "/owner", node)}}, 2000);
    EXPECT_TRUE(answer) << answer.error().message;
    return answer ? answer->header.revision : 0;
  }
  // `spi` chooses the key; no group has 198.51.100.1.
  static NumberIdentity Known(ClusterStore* store, uint32_t spi,
                              const std::string& src = "198.51.100.1") {
    const auto identity = store->Identify(test::MakeSpec(
        {.src = src, .dst = src.find(':') != src.npos ? "2001:db8::2" : "192.0.2.2", .spi = spi}));
    EXPECT_TRUE(identity) << identity.error().message;
    return identity ? *identity : NumberIdentity();
  }
  static void ProbeUntil(ClusterStore* store, const std::function<bool()>& done) {
    for (int tries = 0; tries < 1000 && !done(); ++tries) {
      store->Probe();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_TRUE(done()) << store->fault();
  }

  std::string folder_;
  std::unique_ptr<EtcdServer> etcd_;
};

#define ASSERT_BLOCK(answer, first_number, last_number)           \
  do {                                                            \
    const auto& block_ = (answer);                                \
    ASSERT_TRUE(block_) << block_.error().message;                \
    EXPECT_EQ(*block_, (NumberBlock{first_number, last_number})); \
  } while (false)

TEST_F(ClusterStoreTest, TwoNodesShareACounter) {
  const auto gw1 = Open("gw1");
  const auto gw2 = Open("gw2");
  const NumberIdentity id = Known(gw1.get(), 1);
  EXPECT_EQ(Known(gw2.get(), 1).outbound, id.outbound);
  EXPECT_EQ(Known(gw2.get(), 1).iv_mask, id.iv_mask);
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 10), 1, 10);
  ASSERT_BLOCK(gw2->Outbound(id.outbound, 0, 10), 11, 20);
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 10, 10), 21, 30);
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 100, 10), 101, 110);
  ASSERT_TRUE(gw1->ReturnOutbound(id.outbound, 105, 110));
  ASSERT_BLOCK(gw2->Outbound(id.outbound, 0, 1), 106, 106);
  ASSERT_TRUE(gw1->ReturnOutbound(id.outbound, 101, 105));  // others got numbers since
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 1), 107, 107);
}

TEST_F(ClusterStoreTest, AMarkOfSomebodyElseStays) {
  const auto gw1 = Open("gw1");
  const auto gw2 = Open("gw2");
  const NumberIdentity id = Known(gw1.get(), 1);
  Known(gw2.get(), 1);
  const auto raised = gw1->Inbound(id.inbound, 0, 100);
  ASSERT_TRUE(raised && raised->raised);
  const auto found = gw2->Inbound(id.inbound, 0, 50);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_FALSE(found->raised);
  EXPECT_EQ(found->mark, 100u);
  const auto above = gw2->Inbound(id.inbound, 100, 200);
  ASSERT_TRUE(above && above->raised);
  const auto late = gw1->Inbound(id.inbound, 100, 300);
  ASSERT_TRUE(late);
  EXPECT_FALSE(late->raised);
  EXPECT_EQ(late->mark, 200u);
}

TEST_F(ClusterStoreTest, OnlyTheOwnerOfAGroupGetsNumbers) {
  const auto gw1 = Open("gw1");
  const NumberIdentity id = Known(gw1.get(), 1, "192.0.2.1");
  EXPECT_EQ(id.group, 1u);
  EXPECT_EQ(gw1->Outbound(id.outbound, 0, 10).error().code, Errc::kPermission);
  gw1->SetOwned(1, WriteOwner("west", "gw1"));
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 10), 1, 10);
  WriteOwner("west", "gw2");
  EXPECT_TRUE(gw1->Owns(1));
  const auto late = gw1->Outbound(id.outbound, 10, 10);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kPermission);
  EXPECT_THAT(late.error().message, HasSubstr("west"));
  EXPECT_FALSE(gw1->Owns(1));
  EXPECT_EQ(gw1->fault(), "");
  // What others own is not a fault, and the rest goes on.
  EXPECT_TRUE(gw1->ReturnOutbound(id.outbound, 1, 10));
  ASSERT_BLOCK(gw1->Outbound(Known(gw1.get(), 2).outbound, 0, 10), 1, 10);
  EXPECT_EQ(gw1->Put("sa/x/spec", "v", 1).error().code, Errc::kPermission);
  const auto gw2 = Open("gw2");
  gw2->SetOwned(1, WriteOwner("west", "gw2"));
  Known(gw2.get(), 1, "192.0.2.1");
  ASSERT_BLOCK(gw2->Outbound(id.outbound, 0, 10), 11, 20);
}

TEST_F(ClusterStoreTest, AnSaBelongsToTheGroupOfItsAddressAtThisEnd) {
  const auto store = Open("gw1");
  const auto group = [&](const test::SaOptions& options) {
    return store->GroupOf(test::MakeSpec(options));
  };
  EXPECT_EQ(group({.src = "192.0.2.1", .dst = "192.0.2.2"}), 1u);
  EXPECT_EQ(group({.src = "192.0.2.2", .dst = "192.0.2.1"}), 1u);
  EXPECT_EQ(group({.src = "192.0.2.2", .dst = "192.0.2.1", .direction = SaDirection::kOut}), 0u);
  EXPECT_EQ(group({.src = "192.0.2.1", .dst = "192.0.2.2", .direction = SaDirection::kIn}), 0u);
  EXPECT_EQ(group({.src = "2001:db8::1", .dst = "2001:db8::2"}), 2u);
  EXPECT_EQ(group({.src = "192.0.2.3", .dst = "192.0.2.2"}), 0u);
}

TEST_F(ClusterStoreTest, TogetherIsOneStepForManyRows) {
  const auto gw1 = Open("gw1");
  std::vector<NumberIdentity> ids;
  for (uint32_t spi = 1; spi <= 200; ++spi) ids.push_back(Known(gw1.get(), spi));
  std::vector<NumberBlock> blocks(ids.size());
  const auto steps = [&]() -> Status {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto block = gw1->Outbound(ids[i].outbound, 0, 10);
      if (!block) return block.error();
      blocks[i] = *block;
      const auto mark = gw1->Inbound(ids[i].inbound, 0, 64);
      if (!mark) return mark.error();
      EXPECT_TRUE(mark->raised);
    }
    return {};
  };
  const Status done = gw1->Together(steps);
  ASSERT_TRUE(done) << done.error().message;
  for (const NumberBlock& block : blocks) EXPECT_EQ(block.first, 1u);
  // Steps that fail change nothing.
  EXPECT_FALSE(gw1->Together([&]() -> Status {
    EXPECT_TRUE(gw1->Outbound(ids[0].outbound, 0, 10));
    return MakeError(Errc::kIo);
  }));
  // A node that has never seen the rows.
  const auto gw2 = Open("gw2");
  for (uint32_t spi = 1; spi <= 200; ++spi) Known(gw2.get(), spi);
  std::vector<uint64_t> marks(ids.size());
  const Status next = gw2->Together([&]() -> Status {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto block = gw2->Outbound(ids[i].outbound, 0, 10);
      if (!block) return block.error();
      blocks[i] = *block;
      const auto mark = gw2->Inbound(ids[i].inbound, 0, 64);
      if (!mark) return mark.error();
      marks[i] = mark->mark;
    }
    return {};
  });
  ASSERT_TRUE(next) << next.error().message;
  for (const NumberBlock& block : blocks) EXPECT_EQ(block, (NumberBlock{11, 20}));
  for (const uint64_t mark : marks) EXPECT_EQ(mark, 64u);
}

// The second of two transactions fails. The marks that the first one raised are this node's own.
TEST_F(ClusterStoreTest, HalfOfTogetherLosesNoMark) {
  const auto gw1 = Open("gw1");
  const NumberIdentity east = Known(gw1.get(), 1000, "2001:db8::1");
  gw1->SetOwned(2, WriteOwner("east", "gw1"));
  std::vector<NumberIdentity> ids;
  for (uint32_t spi = 1; spi <= 130; ++spi) ids.push_back(Known(gw1.get(), spi));
  const auto steps = [&](bool is_with_east) {
    return gw1->Together([&]() -> Status {
      for (const NumberIdentity& id : ids) {
        const auto mark = gw1->Inbound(id.inbound, 0, 64);
        if (!mark) return mark.error();
        if (!mark->raised) return MakeError(Errc::kExists, "somebody else's");
      }
      return is_with_east ? gw1->Outbound(east.outbound, 0, 1).has_value()
                                ? Status()
                                : Status(MakeError(Errc::kIo))
                          : Status();
    });
  };
  WriteOwner("east", "gw2");
  const Status failed = steps(true);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Errc::kPermission);
  const auto stored = Client().Range(EtcdGetAll(ClusterPrefix("site") + "num/"), 2000);
  ASSERT_TRUE(stored);
  EXPECT_GT(stored->entries.size(), 100u);  // the first transaction
  const Status again = steps(false);
  ASSERT_TRUE(again) << again.error().message;
}

TEST_F(ClusterStoreTest, ALostAnswerIsALostBlock) {
  TcpRelay relay(etcd_->port());
  ClusterStore::Params params = ParamsOf("gw1");
  params.etcd.endpoints = {relay.endpoint()};
  const auto gw1 = Open(params);
  const NumberIdentity id = Known(gw1.get(), 1);
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 10), 1, 10);
  // It is asked again at once.
  relay.answers_to_lose = 1;
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 10, 10), 21, 30);
  relay.answers_to_lose = 2;
  const auto lost = gw1->Outbound(id.outbound, 30, 10);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kNetworkDown);
  EXPECT_THAT(gw1->fault(), HasSubstr("does not answer"));
  EXPECT_TRUE(gw1->is_away());
  ProbeUntil(gw1.get(), [&] { return !gw1->is_away(); });
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 30, 10), 41, 50);
  EXPECT_EQ(gw1->TakeWentBack(), std::nullopt);
}

TEST_F(ClusterStoreTest, AStoreThatIsAwayCostsOneTimeOut) {
  ClusterStore::Params params = ParamsOf("gw1");
  params.timeout_ms = 500;
  int turns = 0;
  params.while_waiting = [&] { ++turns; };
  const auto gw1 = Open(params);
  const NumberIdentity id = Known(gw1.get(), 1);
  etcd_->Suspend();
  turns = 0;
  EXPECT_FALSE(gw1->Outbound(id.outbound, 0, 10));
  EXPECT_GE(turns, 2);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(gw1->Outbound(id.outbound, 0, 10).error().code, Errc::kNetworkDown);
    gw1->Probe();
  }
  // With a wait for each call it would be 50 s.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  etcd_->Resume();
  ProbeUntil(gw1.get(), [&] { return gw1->Outbound(id.outbound, 0, 10).has_value(); });
  EXPECT_EQ(gw1->fault(), "");
}

TEST_F(ClusterStoreTest, AStoreWithoutRoomSaysSo) {
  etcd_ = std::make_unique<EtcdServer>(EtcdServer::Transport::kPlain,
                                       std::vector<std::string>{"--quota-backend-bytes=1"});
  const auto gw1 = Open("gw1");
  ASSERT_NE(gw1, nullptr);
  EXPECT_THAT(gw1->fault(), HasSubstr("no room left"));
  EXPECT_FALSE(gw1->Identify(test::MakeSpec()));
}

TEST_F(ClusterStoreTest, ANodeStartsWhileTheStoreIsAway) {
  etcd_->Kill();
  const auto gw1 = Open("gw1");
  ASSERT_NE(gw1, nullptr);
  EXPECT_FALSE(gw1->Identify(test::MakeSpec()));
  EXPECT_EQ(gw1->era(), 0u);
  etcd_->Start();
  ProbeUntil(gw1.get(), [&] { return gw1->era() == 1; });
  ASSERT_BLOCK(gw1->Outbound(Known(gw1.get(), 1).outbound, 0, 10), 1, 10);
}

// Two nodes at the same rows, while answers get lost: no number is given twice, and no mark is
// raised by two.
TEST_F(ClusterStoreTest, NodesThatRaceNeverShareANumber) {
  struct Node {
    std::unique_ptr<TcpRelay> relay;
    std::unique_ptr<ClusterStore> store;
    std::vector<NumberBlock> given;
    std::vector<NumberBlock> accepted;
    int lost = 0;
  };
  std::array<Node, 2> nodes;
  NumberIdentity id;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].relay = std::make_unique<TcpRelay>(etcd_->port());
    ClusterStore::Params params = ParamsOf("gw" + std::to_string(i));
    params.etcd.endpoints = {nodes[i].relay->endpoint()};
    params.probe_each_ms = 1;
    nodes[i].store = Open(params);
    id = Known(nodes[i].store.get(), 1);
  }
  const auto run = [&id](Node* node) {
    uint64_t mark = 0;
    std::size_t lose_at = 3;
    for (int i = 0; node->given.size() < 25 && i < 10'000; ++i) {
      // Twice, because what is lost on an old connection is asked again.
      if (node->given.size() == lose_at) {
        node->relay->answers_to_lose = 2;
        lose_at += 5;
      }
      NumberBlock block;
      InboundMark raised;
      const uint64_t known = mark;
      const Status done = node->store->Together([&]() -> Status {
        const auto out = node->store->Outbound(id.outbound, 0, 3);
        if (!out) return out.error();
        const auto in = node->store->Inbound(id.inbound, known, known + 5);
        if (!in) return in.error();
        block = *out;
        raised = *in;
        return {};
      });
      if (done) {
        node->given.push_back(block);
        if (raised.raised) node->accepted.push_back({known + 1, raised.mark});
        mark = raised.mark;
      }
      node->lost += !done;
      node->store->Probe();
      if (!done) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  std::thread other([&] { run(&nodes[1]); });
  run(&nodes[0]);
  other.join();
  const auto expect_disjoint = [&](auto list) {
    std::set<uint64_t> seen;
    for (const Node& node : nodes) {
      for (const NumberBlock& block : node.*list) {
        for (uint64_t n = block.first; n <= block.last; ++n) {
          ASSERT_TRUE(seen.insert(n).second) << n;
        }
      }
    }
    EXPECT_GT(seen.size(), 50u);
  };
  expect_disjoint(&Node::given);
  expect_disjoint(&Node::accepted);
  EXPECT_GT(nodes[0].lost + nodes[1].lost, 0);
}

// Numbers that were given stay given, whenever etcd dies.
TEST_F(ClusterStoreTest, EtcdIsKilledWhileItRuns) {
  auto gw1 = Open("gw1");
  const NumberIdentity id = Known(gw1.get(), 1);
  uint64_t last = 0;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 20; ++i) {
      if (i == 5 + round) kill(etcd_->pid(), SIGKILL);
      const auto block = gw1->Outbound(id.outbound, 0, 10);
      if (!block) break;
      ASSERT_GT(block->first, last);
      last = block->last;
    }
    etcd_->Kill();
    etcd_->Start();
    ProbeUntil(gw1.get(), [&] { return !gw1->is_away(); });
    EXPECT_EQ(gw1->TakeWentBack(), std::nullopt);
  }
  gw1 = Open("gw2");
  Known(gw1.get(), 1);
  const auto next = gw1->Outbound(id.outbound, 0, 10);
  ASSERT_TRUE(next);
  EXPECT_GT(next->first, last);
  EXPECT_GE(last, 200u);
}

class WentBackTest : public ClusterStoreTest {
 protected:
  // Gets numbers, has the store go back by `go_back`, and expects that an SA of before gets none.
  void ExpectNewEra(const std::function<void()>& go_back) {
    const auto gw1 = Open("gw1");
    const NumberIdentity id = Known(gw1.get(), 1);
    ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 10), 1, 10);
    etcd_->TakeBackup();
    ProbeUntil(gw1.get(), [&] { return !gw1->is_away(); });
    while (!gw1->Outbound(id.outbound, 0, 10)) gw1->Probe();
    go_back();
    ProbeUntil(gw1.get(), [&] { return gw1->era() == 2; });
    const auto why = gw1->TakeWentBack();
    ASSERT_TRUE(why.has_value());
    EXPECT_EQ(gw1->TakeWentBack(), std::nullopt);
    const auto refused = gw1->Outbound(id.outbound, 0, 10);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::kNoEntry);
    EXPECT_THAT(refused.error().message, HasSubstr("replace its key"));
    // The same key has another name and another mask.
    const NumberIdentity anew = Known(gw1.get(), 1);
    EXPECT_NE(anew.outbound, id.outbound);
    EXPECT_NE(anew.iv_mask, id.iv_mask);
    ASSERT_BLOCK(gw1->Outbound(anew.outbound, 0, 10), 1, 10);
  }
};

TEST_F(WentBackTest, RestoredFromABackup) {
  ExpectNewEra([&] { etcd_->RestoreBackup(); });
}
TEST_F(WentBackTest, Wiped) {
  ExpectNewEra([&] { etcd_->Wipe(); });
}
TEST_F(WentBackTest, AnotherStore) {
  ExpectNewEra([&] { etcd_->Wipe("two"); });
}
// It has a higher revision than before, by others.
TEST_F(WentBackTest, RestoredAndWrittenSince) {
  ExpectNewEra([&] {
    etcd_->RestoreBackup();
    EtcdClient client = Client();
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(client.Txn({.then = {EtcdPut("/x", "1")}}, 2000));
  });
}

// Before any probe, the transaction itself notices.
TEST_F(WentBackTest, NoNumberComesFromAnOlderStore) {
  ClusterStore::Params params = ParamsOf("gw1");
  params.probe_each_ms = 1'000'000;
  const auto gw1 = Open(params);
  const NumberIdentity id = Known(gw1.get(), 1);
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 10), 1, 10);
  etcd_->TakeBackup();
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 10), 11, 20);
  etcd_->RestoreBackup();
  const auto refused = gw1->Outbound(id.outbound, 0, 10);
  ASSERT_FALSE(refused);
  EXPECT_EQ(gw1->era(), 2u);
}

// All that this node compares by revision is there again: a wiped store that others have written
// since.
TEST_F(WentBackTest, AnotherEraAtTheSameRevision) {
  ClusterStore::Params params = ParamsOf("gw1");
  params.probe_each_ms = 1'000'000;
  const auto gw1 = Open(params);
  const NumberIdentity id = Known(gw1.get(), 1);
  ASSERT_EQ(gw1->era(), 1u);
  etcd_->Wipe();
  EtcdClient client = Client();
  const std::string prefix = ClusterPrefix("site");
  ASSERT_TRUE(client.Txn(
      {.then = {EtcdPut(prefix + "era", "2"), EtcdPut(prefix + "anchor/gw1", "7")}}, 2000));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client.Txn({.then = {EtcdPut("/x", "1")}}, 2000));
  EXPECT_FALSE(gw1->Outbound(id.outbound, 0, 10));
  EXPECT_EQ(gw1->era(), 2u);
}

// It has got no number yet, and must notice a wiped store all the same.
TEST_F(WentBackTest, AMarkIsLeftAtTheFirstMeeting) {
  const auto gw1 = Open("gw1");
  ClusterStore::Params params = ParamsOf("gw2");
  params.probe_each_ms = 1'000'000;
  const auto gw2 = Open(params);
  EtcdClient client = Client();
  const auto mark = client.Txn({.then = {EtcdGet(ClusterPrefix("site") + "anchor/gw2")}}, 2000);
  ASSERT_TRUE(mark) << mark.error().message;
  EXPECT_NE(mark->FoundOne(0).mod_revision, 0);
}

TEST_F(WentBackTest, AfterARestartOfTheNode) {
  NumberIdentity id;
  {
    const auto gw1 = Open("gw1");
    id = Known(gw1.get(), 1);
    ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 10), 1, 10);
    etcd_->TakeBackup();
    while (!gw1->Outbound(id.outbound, 0, 10)) gw1->Probe();
  }
  etcd_->RestoreBackup();
  const auto gw1 = Open("gw1");
  EXPECT_EQ(gw1->era(), 2u);
  EXPECT_TRUE(gw1->TakeWentBack().has_value());
}

// It began empty while the node was down, and others have written more than there was.
TEST_F(WentBackTest, AfterARestartOfTheNodeTheStoreHasGrown) {
  NumberIdentity id;
  {
    const auto gw1 = Open("gw1");
    id = Known(gw1.get(), 1);
    ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 10), 1, 10);
  }
  etcd_->Wipe();
  EtcdClient client = Client();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(client.Txn({.then = {EtcdPut("/x", "1")}}, 2000));
  const auto gw1 = Open("gw1");
  EXPECT_EQ(gw1->era(), 2u);
  EXPECT_TRUE(gw1->TakeWentBack().has_value());
}

// Whoever restored a store whose last writer is gone raises the era by hand.
TEST_F(WentBackTest, TheOperatorRaisesTheEra) {
  const auto gw1 = Open("gw1");
  const NumberIdentity id = Known(gw1.get(), 1);
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 10), 1, 10);
  EtcdClient client = Client();
  ASSERT_TRUE(client.Txn({.then = {EtcdPut(ClusterPrefix("site") + "era", "5")}}, 2000));
  EXPECT_EQ(gw1->Outbound(id.outbound, 0, 10).error().code, Errc::kNoEntry);
  EXPECT_EQ(gw1->era(), 5u);
  EXPECT_TRUE(gw1->TakeWentBack().has_value());
}

// The other node learns of it by the era, and raises it no further.
TEST_F(WentBackTest, OneNodeTellsTheOther) {
  const auto gw1 = Open("gw1");
  const NumberIdentity id = Known(gw1.get(), 1);
  etcd_->TakeBackup();
  const auto gw2 = Open("gw2");
  const NumberIdentity same = Known(gw2.get(), 1);
  while (!gw1->Outbound(id.outbound, 0, 10)) gw1->Probe();
  etcd_->RestoreBackup();
  ProbeUntil(gw1.get(), [&] { return gw1->era() == 2; });
  ProbeUntil(gw2.get(), [&] { return gw2->era() == 2; });
  EXPECT_TRUE(gw2->TakeWentBack().has_value());
  EXPECT_EQ(gw2->Outbound(same.outbound, 0, 10).error().code, Errc::kNoEntry);
  for (int i = 0; i < 50; ++i) {
    gw1->Probe();
    gw2->Probe();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(gw1->era(), 2u);
  EXPECT_EQ(gw2->era(), 2u);
  EXPECT_EQ(Known(gw1.get(), 1).outbound, Known(gw2.get(), 1).outbound);
}

// A number whose revision is not on this node's disk does not count.
TEST_F(WentBackTest, WithoutTheStateFileThereAreNoNumbers) {
  std::filesystem::create_directory(folder_ + "/state");
  ClusterStore::Params params = ParamsOf("gw1");
  params.state_file = folder_ + "/state/gw1";
  const auto gw1 = Open(params);
  const NumberIdentity id = Known(gw1.get(), 1);
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 10), 1, 10);
  std::filesystem::remove_all(folder_ + "/state");
  const auto refused = gw1->Outbound(id.outbound, 0, 10);
  ASSERT_FALSE(refused);
  EXPECT_THAT(gw1->fault(), HasSubstr("state_file"));
  std::filesystem::create_directory(folder_ + "/state");
  ProbeUntil(gw1.get(), [&] { return gw1->fault().empty(); });
  ASSERT_BLOCK(gw1->Outbound(id.outbound, 0, 10), 21, 30);
}

TEST_F(ClusterStoreTest, EntriesAreWrittenAndRemoved) {
  const auto gw1 = Open("gw1");
  gw1->SetOwned(1, WriteOwner("west", "gw1"));
  ASSERT_TRUE(gw1->Put("sa/x/spec", std::string("\0\xff", 2), 1));
  ASSERT_TRUE(gw1->Put("policy/x", "p", 0));
  ASSERT_TRUE(gw1->Delete("policy/x", 0));
  EtcdClient client = Client();
  const auto entry = client.Range(EtcdGet(ClusterPrefix("site") + "sa/x/spec"), 2000);
  ASSERT_TRUE(entry && entry->entries.size() == 1);
  EXPECT_EQ(entry->entries[0].value, std::string("\0\xff", 2));
  const auto none = client.Range(EtcdGet(ClusterPrefix("site") + "policy/x"), 2000);
  ASSERT_TRUE(none && none->entries.empty());
  std::vector<ClusterEntries::Pair> many;
  for (int i = 0; i < 300; ++i) {
    many.push_back({"sa/" + std::to_string(i) + "/spec", std::string(4000, 'x')});
  }
  ASSERT_TRUE(gw1->PutAll(many, 1));
  const auto all = client.Range(EtcdGetAll(ClusterPrefix("site") + "sa/"), 2000);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->entries.size(), 301u);
  // What etcd refuses is not an outage.
  EXPECT_FALSE(gw1->Put("policy/large", std::string(1'700'000, 'x'), 0));
  EXPECT_EQ(gw1->fault(), "");
}

}  // namespace
}  // namespace cygnet
