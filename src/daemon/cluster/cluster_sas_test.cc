#include "daemon/cluster/cluster_sas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "daemon/cluster/shared_record.h"
#include "daemon/store/restart_interfaces.h"
#include "support/control_plane_fixture.h"
#include "support/memory_cluster.h"

namespace cygnet {
namespace {

using test::MemoryCluster;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr GroupId kGroup = 1;
constexpr uint32_t kSpi = 0x1001;

EntrySeal SealOf(std::vector<uint8_t> fills) {
  std::vector<KeyMaterial> keys;
  for (const uint8_t fill : fills) keys.emplace_back(std::vector<uint8_t>(32, fill));
  return EntrySeal(WrappingKeys(std::move(keys)), "paris");
}

std::vector<ClusterGroupConfig> Groups(const std::string& address) {
  return {{.name = "red", .addresses = {address}, .prefer = ""}};
}

struct Shared {
  Shared(MemoryCluster* cluster, const std::string& name, std::vector<uint8_t> keys,
         const std::string& address)
      : entries(cluster, name),
        sas({.entries = &entries,
             .clock = &clock,
             .groups = GroupAddresses(Groups(address)),
             .seal = SealOf(std::move(keys)),
             .secret = KeyMaterial(std::vector<uint8_t>(32, 0x5c)),
             .refused = [this](const std::string& text) { audit.push_back(text); }}) {}
  test::MemoryEntries entries;
  test::FakeClock clock;
  std::vector<std::string> audit;
  ClusterSas sas;
};

// A node: a control plane with its part in the cluster.
class Node final : public Shared, public test::ControlPlaneTest {
 public:
  Node(MemoryCluster* cluster, const std::string& name, std::vector<uint8_t> keys = {1},
       const std::string& address = "192.0.2.1/24 dev nic0")
      : Shared(cluster, name, std::move(keys), address),
        ControlPlaneTest(2, PlacementMode::kNo,
                         [this](ControlPlaneParams* params) {
                           params->keeper = &sas;
                           params->journal = &sas;
                         }),
        cluster_(*cluster),
        name_(name) {
    sas.Start(control_.get());
  }
  ~Node() override { sas.Stop(); }
  void TestBody() override {}

  void Own(uint64_t epoch) {
    cluster_.owner[kGroup] = name_;
    sas.OnEvent(Event(ClusterEvent::Kind::kGained, epoch));
  }
  void Lose(uint64_t epoch) { sas.OnEvent(Event(ClusterEvent::Kind::kLost, epoch)); }
  // What the watch of this node has not told yet, and one turn of the loop.
  void Run() {
    for (int i = 0; i < 4; ++i) {
      while (next_ < cluster_.told.size()) sas.OnEvent(cluster_.told[next_++]);
      while (sas.DoSome()) {
      }
    }
  }
  // As after a start: all that the store has.
  void ReadAll() {
    next_ = cluster_.told.size();
    for (const auto& [key, value] : cluster_.content) {
      sas.OnEvent(test::EntryEvent(key, value));
    }
    sas.OnEvent(test::EventOf(ClusterEvent::Kind::kEntriesRead));
    Run();
  }
  void Second() {
    clock.monotonic_ns += 1'000'000'000;
    sas.Tick();
    Run();
  }
  SaPtr Get(uint32_t spi = kSpi) { return path_.sad.Find(IdOf(spi)); }
  Status Add(uint32_t spi = kSpi) { return control_->AddSa(test::MakeSpec({.spi = spi}), {}); }
  Status Delete(uint32_t spi = kSpi) { return control_->DeleteSa(IdOf(spi), {}); }
  std::vector<std::string> Why() {
    std::vector<std::string> all;
    for (const auto& refused : sas.Report().refused) all.push_back(refused.why);
    return all;
  }
  std::size_t policies() { return control_->ListPolicies().size(); }
  ControlPlane& control() { return *control_; }
  test::Recorder& recorder() { return recorder_; }
  using ControlPlaneTest::IdOf;

 private:
  ClusterEvent Event(ClusterEvent::Kind kind, uint64_t epoch) {
    ClusterEvent event = test::EventOf(kind);
    event.group = kGroup;
    event.owner.node = cluster_.owner[kGroup];
    event.owner.epoch = epoch;
    return event;
  }
  MemoryCluster& cluster_;
  const std::string name_;
  std::size_t next_ = 0;
};

class ClusterSasTest : public testing::Test {
 protected:
  // The entry of the only SA.
  std::string SpecKey() {
    for (const auto& [key, value] : cluster_.content) {
      if (key.ends_with("/spec")) return key;
    }
    return {};
  }
  std::size_t Entries(const std::string& prefix, const std::string& suffix = "") {
    return static_cast<std::size_t>(
        std::count_if(cluster_.content.begin(), cluster_.content.end(), [&](const auto& pair) {
          return pair.first.starts_with(prefix) && pair.first.ends_with(suffix);
        }));
  }
  void SetUp() override {
    SetLogSink([](LogLevel, std::string_view) {});
  }
  MemoryCluster cluster_;
};

bool SameKeys(const Sa& a, const Sa& b) { return a.spec().aead.key == b.spec().aead.key; }

PolicySpec Protects(const std::string& to = "10.2.0.0/16") {
  return test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", to, {test::TemplateFor({})});
}

TEST_F(ClusterSasTest, AnSaIsAtTheOtherNodeWithItsKeys) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  EXPECT_EQ(Entries("sa/", "/spec"), 1u) << "before the client gets its answer";
  b.Run();
  ASSERT_NE(b.Get(), nullptr);
  EXPECT_TRUE(SameKeys(*a.Get(), *b.Get()));
  EXPECT_EQ(b.Get()->spec().saddr, a.Get()->spec().saddr);
  EXPECT_THAT(b.recorder().events, IsEmpty()) << "nobody is told";
  ASSERT_TRUE(a.Delete());
  a.Run();
  EXPECT_EQ(Entries("sa/", "/spec"), 0u);
  b.Run();
  EXPECT_EQ(b.Get(), nullptr);
}

TEST_F(ClusterSasTest, NoKeyIsReadableInTheStore) {
  Node a(&cluster_, "a");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  const auto key = a.Get()->spec().aead.key.bytes();
  const std::string bytes(key.begin(), key.end());
  for (const auto& [name, value] : cluster_.content) {
    EXPECT_EQ(value.find(bytes.substr(0, 8)), std::string::npos) << name;
  }
}

TEST_F(ClusterSasTest, WithoutTheStoreAnSaIsRefused) {
  Node a(&cluster_, "a");
  a.Own(1);
  cluster_.away = true;
  const Status refused = a.Add();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("the cluster's store did not take it"));
  EXPECT_EQ(a.Get(), nullptr);
  cluster_.away = false;
  EXPECT_TRUE(a.Add());
}

TEST_F(ClusterSasTest, AnSaOfNoGroupStaysHere) {
  Node a(&cluster_, "a");
  a.Own(1);
  ASSERT_TRUE(a.control().AddSa(
      test::MakeSpec({.src = "198.51.100.1", .dst = "192.0.2.2", .spi = kSpi}), {}));
  a.Run();
  EXPECT_EQ(Entries("sa/", "/spec"), 0u);
}

TEST_F(ClusterSasTest, WhatIsDeletedWhileTheStoreIsAwayGoesLater) {
  Node a(&cluster_, "a");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  cluster_.away = true;
  ASSERT_TRUE(a.Delete());
  a.Run();
  EXPECT_EQ(a.sas.Report().unsent, 1u);
  EXPECT_THAT(a.sas.Report().error, HasSubstr("no answer"));
  cluster_.away = false;
  a.Second();
  EXPECT_EQ(Entries("sa/", "/spec"), 0u);
  EXPECT_EQ(a.sas.Report().unsent, 0u);
}

TEST_F(ClusterSasTest, ANewOwnerGoesOnAndWritesEverythingAnew) {
  Node b(&cluster_, "b");
  {
    Node a(&cluster_, "a");
    a.Own(1);
    ASSERT_TRUE(a.Add());
    ASSERT_TRUE(a.control().AddPolicy(Protects(), {}));
    a.Run();
    b.Run();
  }
  const std::string before = cluster_.content[SpecKey()];
  b.Own(2);
  b.Run();
  EXPECT_NE(cluster_.content[SpecKey()], before);
  b.Second();
  EXPECT_EQ(Entries("sa/written/red"), 1u);
  ASSERT_TRUE(b.Delete());
  b.Run();
  EXPECT_EQ(Entries("sa/", "/spec"), 0u);
}

TEST_F(ClusterSasTest, AnEntryOfTheOwnerBeforeIsRefused) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  const std::string key = SpecKey();
  const std::string old = cluster_.content[key];
  a.Lose(2);
  b.Run();
  b.Own(2);
  b.Run();
  ASSERT_TRUE(b.Delete());
  b.Second();

  // Somebody puts it back: to a node that was there, and to one that starts.
  cluster_.Write(key, old);
  a.Run();
  EXPECT_EQ(a.Get(), nullptr);
  EXPECT_THAT(a.Why(), ElementsAre(HasSubstr("of an earlier owner")));
  Node c(&cluster_, "c");
  c.ReadAll();
  EXPECT_EQ(c.Get(), nullptr);
  EXPECT_THAT(c.audit, ElementsAre(HasSubstr("of an earlier owner")));
}

TEST_F(ClusterSasTest, AnOlderEntryDoesNotReplaceANewerOne) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  const std::string key = SpecKey();
  const std::string old = cluster_.content[key];
  a.Lose(1);
  a.Own(2);
  a.Run();
  b.Run();
  ASSERT_THAT(b.Why(), IsEmpty());
  cluster_.Write(key, old);
  b.Run();
  EXPECT_THAT(b.Why(), ElementsAre(HasSubstr("somebody has put it back")));
  EXPECT_NE(b.Get(), nullptr) << "what it has stays";
}

TEST_F(ClusterSasTest, ATamperedEntryIsRefusedAndAudited) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  const std::string key = SpecKey();
  std::string value = cluster_.content[key];
  cluster_.told.clear();
  value[value.size() / 2] = static_cast<char>(value[value.size() / 2] ^ 1);
  cluster_.Write(key, value);
  b.Run();
  EXPECT_EQ(b.Get(), nullptr);
  EXPECT_THAT(b.audit, ElementsAre(HasSubstr("somebody else has written or changed it")));
  EXPECT_THAT(b.Why(), ElementsAre(HasSubstr("somebody else has written or changed it")));
  // The owner sees it, too, and the SA is right again once it writes.
  a.Run();
  EXPECT_EQ(a.audit.size(), 1u);
  a.Own(2);
  a.Run();
  EXPECT_THAT(a.Why(), IsEmpty());
  b.Run();
  EXPECT_NE(b.Get(), nullptr);
  EXPECT_THAT(b.Why(), IsEmpty());
}

TEST_F(ClusterSasTest, AForeignWrappingKeyIsRefusedAndARotatedOneIsNot) {
  Node a(&cluster_, "a", {2, 1});
  Node b(&cluster_, "b", {1});
  Node c(&cluster_, "c", {1, 2});
  a.Own(1);
  ASSERT_TRUE(a.Add());
  b.Run();
  c.Run();
  EXPECT_EQ(b.Get(), nullptr);
  EXPECT_THAT(b.Why(), ElementsAre(HasSubstr("under a key that this node does not have")));
  EXPECT_NE(c.Get(), nullptr);
  // A new owner that could not read an entry leaves it, for who can.
  b.Own(2);
  b.Run();
  EXPECT_EQ(Entries("sa/", "/spec"), 1u);
  EXPECT_EQ(Entries("sa/written/red"), 0u);
  // Once c owns the group, its first key wraps.
  c.Own(3);
  c.Run();
  b.Run();
  EXPECT_NE(b.Get(), nullptr);
}

TEST_F(ClusterSasTest, AfterTheStoreWentBackItsSasAreRefused) {
  Node a(&cluster_, "a");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  a.Second();
  cluster_.era = 2;
  Node b(&cluster_, "b");
  b.ReadAll();
  EXPECT_EQ(b.Get(), nullptr);
  EXPECT_THAT(b.Why(), ElementsAre(HasSubstr("before the store went back")));
  a.Second();
  const std::string before = cluster_.content[SpecKey()];
  a.Run();
  EXPECT_EQ(cluster_.content[SpecKey()], before) << "an SA of the old era gets no new one";

  // Epochs begin anew with the store: what is written now is taken, and new SAs are shared.
  a.Own(1);
  ASSERT_TRUE(a.Add(0x2002));
  a.Run();
  b.Run();
  EXPECT_NE(b.Get(0x2002), nullptr);
}

// The owner before wrote it in its last moment; its node learns the take-over first.
TEST_F(ClusterSasTest, AnEntryThatComesLateIsTaken) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  b.Own(2);
  EXPECT_EQ(b.Get(), nullptr);
  b.Run();
  EXPECT_NE(b.Get(), nullptr);
  b.Second();
  b.Second();
  EXPECT_THAT(b.Why(), IsEmpty());
  Node c(&cluster_, "c");
  c.ReadAll();
  EXPECT_NE(c.Get(), nullptr);
  EXPECT_THAT(c.Why(), IsEmpty());
}

TEST_F(ClusterSasTest, AnSaOfTheProcessBeforeThatEndedMeanwhileIsRemoved) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(a.Add(0x2001));
  a.Second();
  b.sas.Stop();
  ASSERT_TRUE(b.Add(0x2001));
  ASSERT_TRUE(b.Add(0x2002));  // a does not have it any more
  b.sas.Start(&b.control());
  b.ReadAll();
  EXPECT_NE(b.Get(0x2001), nullptr);
  EXPECT_EQ(b.Get(0x2002), nullptr);
}

TEST_F(ClusterSasTest, UsageIsAheadAndANewOwnerCountsIt) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  const std::vector<uint32_t> sizes(100, 1000);
  for (int second = 0; second < 20; ++second) {
    a.Get()->lifetime().Charge(sizes, 77);
    a.Second();
  }
  b.Run();
  EXPECT_EQ(b.Get()->lifetime().usage().packets, 0u) << "until it owns the group";
  b.Own(2);
  b.Run();
  const LifetimeUsage usage = b.Get()->lifetime().usage();
  EXPECT_GE(usage.packets, 2000u);
  EXPECT_LE(usage.packets, 4000u);
  EXPECT_GE(usage.bytes, 2'000'000u);
  EXPECT_EQ(usage.use_time, 77u);
}

TEST_F(ClusterSasTest, AnIdleSaIsNotWrittenAgain) {
  Node a(&cluster_, "a");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  a.Second();
  const int before = cluster_.steps;
  for (int second = 0; second < 5; ++second) a.Second();
  EXPECT_EQ(cluster_.steps, before);
}

TEST_F(ClusterSasTest, ChangedLimitsReachTheOtherNode) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  b.Run();
  ASSERT_TRUE(a.control().UpdateSa(
      test::MakeSpec({.spi = kSpi, .limits = {.hard_add_seconds = 4000}}), {}));
  a.Run();
  b.Run();
  EXPECT_EQ(b.Get()->lifetime().limits().hard_add_seconds, 4000u);
}

// IKE daemons flush what they find when they start.
TEST_F(ClusterSasTest, WhatAClientRemovesAtANodeThatDoesNotOwnItComesBack) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(a.Add());
  ASSERT_TRUE(a.control().AddPolicy(Protects(), {}));
  b.Run();
  b.control().FlushSas(0, {});
  ASSERT_TRUE(b.control().FlushPolicies(PolicyType::kMain, {}));
  EXPECT_EQ(b.Get(), nullptr);
  b.Second();
  ASSERT_NE(b.Get(), nullptr);
  EXPECT_TRUE(SameKeys(*a.Get(), *b.Get()));
  EXPECT_EQ(b.policies(), 1u);
  EXPECT_EQ(Entries("sa/", "/spec"), 1u);
  // It is still removed when its owner removes it.
  ASSERT_TRUE(a.Delete());
  a.Run();
  b.Run();
  EXPECT_EQ(b.Get(), nullptr);
}

TEST_F(ClusterSasTest, AnSaWhoseTimeIsOverDoesNotComeBack) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(
      a.control().AddSa(test::MakeSpec({.spi = kSpi, .limits = {.hard_add_seconds = 10}}), {}));
  b.Run();
  ASSERT_NE(b.Get(), nullptr);
  ASSERT_TRUE(b.control().ExpireSa(Node::IdOf(kSpi), true));
  b.Second();
  EXPECT_EQ(b.Get(), nullptr);
}

TEST_F(ClusterSasTest, PoliciesGoTheSameWay) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(a.control().AddPolicy(Protects(), {}));
  PolicySpec other = Protects("10.3.0.0/16");
  other.templates.clear();
  ASSERT_TRUE(a.control().AddPolicy(other, {}));
  EXPECT_EQ(Entries("policy/"), 1u) << "the other one has no address of the group";
  b.Run();
  ASSERT_EQ(b.policies(), 1u);
  PolicySpec changed = Protects();
  changed.priority = 5;
  ASSERT_TRUE(a.control().UpdatePolicy(changed, {}));
  b.Run();
  EXPECT_EQ(b.control().ListPolicies().at(0).spec.priority, 5u);
  ASSERT_TRUE(a.control().DeletePolicy(IdOf(changed), {}));
  a.Run();
  EXPECT_EQ(Entries("policy/"), 0u);
  b.Run();
  EXPECT_EQ(b.policies(), 0u);
}

// It would block on the other nodes, too, which may have the interface.
TEST(CanBeShared, IsNotForPoliciesOfOneHostsInterfaces) {
  PolicySpec spec = Protects();
  EXPECT_TRUE(CanBeShared(spec));
  spec.selector.ifindex = 7;
  EXPECT_FALSE(CanBeShared(spec));
  RestartInterfaces interfaces({});
  const PolicySpec stand_in = interfaces.StandInFor({.spec = spec});
  EXPECT_EQ(stand_in.selector.ifindex, 0);
  EXPECT_FALSE(CanBeShared(stand_in));
}

TEST_F(ClusterSasTest, APolicyThatTheNodeHadItselfStays) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  ASSERT_TRUE(b.control().AddPolicy(Protects(), {}));
  a.Own(1);
  ASSERT_TRUE(a.control().AddPolicy(Protects(), {}));
  b.Run();
  ASSERT_TRUE(a.control().DeletePolicy(IdOf(Protects()), {}));
  a.Run();
  b.Run();
  EXPECT_EQ(b.policies(), 1u);
}

// Packets that no policy here covers would leave in clear.
TEST_F(ClusterSasTest, ANodeThatDoesNotKnowAllPoliciesSaysSo) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  Node stranger(&cluster_, "c", {2});
  EXPECT_THAT(b.sas.WhyBlind(), HasSubstr("not read yet"));
  a.Own(1);
  ASSERT_TRUE(a.control().AddPolicy(Protects(), {}));
  b.ReadAll();
  stranger.ReadAll();
  EXPECT_EQ(b.sas.WhyBlind(), "");
  EXPECT_THAT(stranger.sas.WhyBlind(), HasSubstr("policy/"));
  b.sas.OnEvent(test::EventOf(ClusterEvent::Kind::kEntriesUnread));
  EXPECT_NE(b.sas.WhyBlind(), "");
  b.ReadAll();
  EXPECT_EQ(b.sas.WhyBlind(), "");
  ASSERT_TRUE(a.control().DeletePolicy(IdOf(Protects()), {}));
  a.Run();
  stranger.Run();
  EXPECT_EQ(stranger.sas.WhyBlind(), "") << "the group has none any more";
}

// A name that another policy has, and one that was spoilt on the way.
TEST_F(ClusterSasTest, ASpoiltPolicyMakesBlindAndAnOldOneDoesNot) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  ASSERT_TRUE(a.control().AddPolicy(Protects(), {}));
  b.ReadAll();
  const auto [key, first] = *cluster_.content.begin();
  PolicySpec changed = Protects();
  changed.priority = 5;
  ASSERT_TRUE(a.control().UpdatePolicy(changed, {}));
  b.Run();
  cluster_.Write(key, first);
  b.Run();
  EXPECT_THAT(b.Why(), ElementsAre(HasSubstr("older")));
  EXPECT_EQ(b.sas.WhyBlind(), "");
  cluster_.Write(key, std::string(200, 'x'));
  b.Run();
  EXPECT_THAT(b.sas.WhyBlind(), HasSubstr(key));
}

// A group that has more addresses on the other nodes.
TEST_F(ClusterSasTest, APolicyOfAnAddressThatIsNoneHereMakesBlind) {
  Node a(&cluster_, "a");
  Node elsewhere(&cluster_, "b", {1}, "192.0.2.7/24 dev nic0");
  a.Own(1);
  ASSERT_TRUE(a.control().AddPolicy(Protects(), {}));
  elsewhere.ReadAll();
  EXPECT_THAT(elsewhere.sas.WhyBlind(), HasSubstr("the same groups"));
}

PolicySpec Allows() {
  PolicySpec spec = test::MakePolicy(PolicyDirection::kOut, "192.0.2.1/32", "10.9.0.0/16");
  spec.priority = 1;
  return spec;
}

// The process before had both, and both were deleted on the owner while it was away.
TEST_F(ClusterSasTest, WhatLetsPassInClearDoesNotComeBackByARestart) {
  Node a(&cluster_, "a");
  a.Own(1);
  a.Second();
  a.Second();  // it says that it has written everything
  Node b(&cluster_, "b");
  b.sas.Stop();
  ASSERT_TRUE(b.control().AddPolicy(Allows(), {}));
  ASSERT_TRUE(b.control().AddPolicy(Protects(), {}));
  b.sas.Start(&b.control());
  PolicySpec by_client = Allows();
  by_client.selector.prefixlen_d = 24;
  ASSERT_TRUE(b.control().AddPolicy(by_client, {}));
  b.ReadAll();
  EXPECT_FALSE(b.control().GetPolicy(IdOf(Allows())));
  EXPECT_TRUE(b.control().GetPolicy(IdOf(Protects())));
  EXPECT_TRUE(b.control().GetPolicy(IdOf(by_client))) << "of this process";
}

// After an update of the standby, say.
TEST_F(ClusterSasTest, WhatLetsPassInClearGoesWithItsEntryAfterARestart) {
  Node a(&cluster_, "a");
  a.Own(1);
  ASSERT_TRUE(a.control().AddPolicy(Allows(), {}));
  ASSERT_TRUE(a.control().AddPolicy(Protects(), {}));
  Node b(&cluster_, "b");
  b.sas.Stop();
  ASSERT_TRUE(b.control().AddPolicy(Allows(), {}));
  ASSERT_TRUE(b.control().AddPolicy(Protects(), {}));
  b.sas.Start(&b.control());
  b.ReadAll();
  ASSERT_TRUE(a.control().DeletePolicy(IdOf(Allows()), {}));
  ASSERT_TRUE(a.control().DeletePolicy(IdOf(Protects()), {}));
  a.Run();
  b.Run();
  EXPECT_FALSE(b.control().GetPolicy(IdOf(Allows())));
  EXPECT_TRUE(b.control().GetPolicy(IdOf(Protects()))) << "it only blocks";
}

TEST_F(ClusterSasTest, AForgedPolicyIsRefused) {
  Node a(&cluster_, "a");
  Node b(&cluster_, "b");
  a.Own(1);
  PolicySpec clear = Protects();
  clear.templates.clear();
  std::string forged(200, 'x');
  cluster_.Write("policy/00112233445566778899aabbccddeeff", forged);
  b.Run();
  EXPECT_EQ(b.policies(), 0u);
  EXPECT_EQ(b.audit.size(), 1u);
}

TEST_F(ClusterSasTest, ManySasAreWrittenInFewSteps) {
  Node b(&cluster_, "b");
  Node a(&cluster_, "a");
  a.Own(1);
  for (uint32_t spi = 0; spi < 100; ++spi) ASSERT_TRUE(a.Add(0x2000 + spi));
  b.Run();
  const int before = cluster_.steps;
  b.Own(2);
  b.Run();
  EXPECT_LE(cluster_.steps - before, 6);
  EXPECT_EQ(b.sas.Report().sas, 100u);
}

TEST_F(ClusterSasTest, SasOfANodeThatJoinsTheOwnersAreSharedWhenItGainsTheGroup) {
  Node a(&cluster_, "a");
  ASSERT_TRUE(a.Add());  // nobody owns the group yet
  EXPECT_EQ(Entries("sa/", "/spec"), 0u);
  a.Own(1);
  a.Run();
  EXPECT_EQ(Entries("sa/", "/spec"), 1u);
}

TEST(CheckSharingTest, FipsModeRefusesIt) {
  ClusterConfig config;
  EXPECT_TRUE(CheckSharing(config, true));
  config.share = ClusterShare::kSas;
  EXPECT_TRUE(CheckSharing(config, false));
  const Status refused = CheckSharing(config, true);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("share_in_fips_mode"));
  config.share_in_fips_mode = true;
  EXPECT_TRUE(CheckSharing(config, true));
}

}  // namespace
}  // namespace cygnet
