// The control thread's part of a cluster, with real Numbers. Node and store are fakes: they say
// what the test tells them to.
#include "daemon/cluster/cluster_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "support/fake_clock.h"
#include "support/memory_number_store.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MemoryNumberStore;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = ClusterEvent::Kind;

class FakeNode final : public ClusterNode {
 public:
  int event_fd() const override { return -1; }
  std::vector<ClusterEvent> Take() override { return std::exchange(events, {}); }
  void Alive() override { ++alive; }
  void SetBlind(bool now) override { blind = now; }
  Status Offer(GroupId group, const std::string& node) override {
    if (!offers) return MakeError(Errc::kNetworkDown, "it has no lease");
    offered.push_back(std::to_string(group) + " to " + node);
    if (answers.has_value()) events.push_back({.kind = *answers, .group = group, .text = "gw2"});
    return {};
  }
  Status Give(GroupId group, const std::string& node) override {
    given.push_back(std::to_string(group) + " to " + node);
    if (!gives) return MakeError(Errc::kNetworkDown, "it has no lease");
    // The store has the new owner at once.
    owner.node = node;
    events.push_back({.kind = Kind::kLost, .group = group, .owner = owner, .text = "given"});
    return {};
  }
  void Pause(uint32_t ms) override { paused = ms; }
  std::vector<Peer> peers() const override {
    return {{.name = "gw2", .address = "192.0.2.3:4712", .heard = heard, .silent_ns = 7'000'000}};
  }
  std::vector<GroupOwner> owners() const override { return {owner}; }
  bool has_lease() const override { return lease; }

  std::vector<ClusterEvent> events;
  std::vector<std::string> given;
  GroupOwner owner;
  int alive = 0;
  bool blind = true;
  std::vector<std::string> offered;
  bool offers = true;
  std::optional<Kind> answers;
  bool gives = true;
  bool heard = true;
  bool lease = true;
  uint32_t paused = 0;
};

class FakeGroups final : public GroupStore {
 public:
  void SetOwned(GroupId group, int64_t revision) override {
    calls.push_back("owned " + std::to_string(group) + " at " + std::to_string(revision));
  }
  void SetNotOwned(GroupId group) override { calls.push_back("not " + std::to_string(group)); }
  void Probe() override {}
  bool is_away() const override { return !why.empty(); }
  std::string fault() const override { return why; }
  uint64_t era() const override { return 1; }
  std::optional<std::string> TakeWentBack() override { return std::exchange(went_back, {}); }

  std::vector<std::string> calls;
  std::string why;
  std::optional<std::string> went_back;
};

class ClusterControlTest : public testing::Test {
 protected:
  ClusterControlTest() {
    numbers_store_.group = 1;
    ClusterConfig config;
    config.name = "c";
    config.node = "gw1";
    config.groups.push_back({.name = "vpn", .addresses = {"192.0.2.1/24 dev nic0"}, .prefer = ""});
    control_ = std::make_unique<ClusterControl>(ClusterControl::Params{
        .config = config,
        .node = &node_,
        .store = &store_,
        .numbers = &numbers_,
        .clock = &clock_,
        .expire = [this](const Sa& sa) { expired_.push_back(sa.spec().spi.value); },
        .resume = [this] { ++resumed_; },
        .record = [this](const std::string&, const std::string& event,
                         const std::string&) { recorded_.push_back(event); }});
  }
  SaPtr Begin(uint32_t spi, const std::string& dst = "192.0.2.2") {
    SaSpec spec = test::MakeSpec({.dst = dst, .spi = spi});
    const auto identity = numbers_.Identify(spec);
    auto sa = MakeSharedSa(std::move(spec), uint64_t{1}, (*identity)->iv_mask);
    sa->number = spi;
    EXPECT_TRUE(numbers_.Begin(sa, *identity));
    return sa;
  }
  void Happen(ClusterEvent event) {
    event.group = 1;
    if (event.kind == Kind::kGained) node_.owner = event.owner;
    node_.events.push_back(std::move(event));
    Turn();
  }
  void Turn() { control_->Turn(ClusterControl::Workers::kRun); }
  void Gain(uint64_t silence_ns = 0) {
    Happen({.kind = Kind::kGained,
            .owner = {.node = "gw1", .incarnation = 1, .epoch = 4, .revision = 9},
            .text = "gw2 is silent",
            .silence_ns = silence_ns,
            .transaction_ns = 8'000'000});
  }
  void Ready() { Happen({.kind = Kind::kReady, .text = "gw2"}); }
  static uint64_t Send(const SaPtr& sa) { return sa->outbound()->sequence.Reserve(1).count; }
  ClusterGroupReport group() const { return control_->Report().groups[0]; }

  test::FakeClock clock_;
  MemoryNumberStore::Content content_;
  MemoryNumberStore numbers_store_{&content_};
  Numbers numbers_{&numbers_store_, &clock_};
  FakeNode node_;
  FakeGroups store_;
  std::vector<uint32_t> expired_;
  int resumed_ = 0;
  std::vector<std::string> recorded_;
  std::unique_ptr<ClusterControl> control_;
};

TEST_F(ClusterControlTest, AGroupThatComesHasNumbersInTheSameTurn) {
  const auto sa = Begin(1);
  EXPECT_EQ(Send(sa), 0u);
  EXPECT_EQ(group().state, "nobody");
  Gain();
  EXPECT_THAT(store_.calls, ElementsAre("owned 1 at 9"));
  EXPECT_EQ(Send(sa), 1u);
  EXPECT_EQ(group().state, "active");
  EXPECT_EQ(group().epoch, 4u);
  ASSERT_TRUE(group().last.has_value());
  EXPECT_EQ(group().last->transaction_us, 8000u);
  EXPECT_EQ(group().last->sas, 1u);
  EXPECT_THAT(recorded_, ElementsAre("gained"));
  EXPECT_EQ(resumed_, 1) << "packets that were held may pass";
}

TEST_F(ClusterControlTest, PacketsAreHeldUntilThereAreNumbers) {
  const auto sa = Begin(1);
  numbers_store_.is_owner = false;
  Gain();
  EXPECT_EQ(resumed_, 0);
  numbers_store_.is_owner = true;
  clock_.monotonic_ns += 1'000'000'000;
  Turn();
  (void)numbers_.DoSome();
  Turn();
  EXPECT_EQ(resumed_, 1);
}

TEST_F(ClusterControlTest, AGroupThatGoesIsMuteAtOnce) {
  const auto sa = Begin(1);
  Gain();
  node_.owner = {.node = "gw2", .epoch = 5, .revision = 10};
  Happen({.kind = Kind::kLost, .owner = node_.owner, .text = "gw2 took it over"});
  EXPECT_EQ(Send(sa), 0u);
  EXPECT_THAT(store_.calls, ElementsAre("owned 1 at 9", "not 1"));
  EXPECT_EQ(group().state, "standby");
  EXPECT_EQ(group().owner, "gw2");
  EXPECT_EQ(group().lost, 1u);
  EXPECT_EQ(recorded_.back(), "lost");
}

TEST_F(ClusterControlTest, AfterATakeOverEachTunnelIsReplacedOnceTheOneAfterTheOther) {
  const auto a = Begin(1);
  const auto b = Begin(2);
  const auto c = Begin(3, "192.0.2.9");
  Gain(/*silence_ns=*/160'000'000);
  EXPECT_THAT(expired_, ElementsAre(1u, 2u));
  Turn();
  EXPECT_EQ(expired_.size(), 2u);
  clock_.monotonic_ns += 100'000'000;
  Turn();
  EXPECT_THAT(expired_, ElementsAre(1u, 2u, 3u));
}

TEST_F(ClusterControlTest, AfterATakeOverAnSaThatEndedBeforeItsTurnIsNotReplaced) {
  const auto a = Begin(1);
  const auto b = Begin(2, "192.0.2.9");
  Gain(/*silence_ns=*/160'000'000);
  EXPECT_THAT(expired_, ElementsAre(1u));
  numbers_.Forget(*b);
  clock_.monotonic_ns += 100'000'000;
  Turn();
  EXPECT_THAT(expired_, ElementsAre(1u));
}

TEST_F(ClusterControlTest, AMoveGivesNumbersBackFirstAndAsksForNoNewSas) {
  const auto sa = Begin(1);
  Gain();
  EXPECT_EQ(Send(sa), 1u);
  ASSERT_TRUE(control_->Move("vpn", "gw2"));
  EXPECT_THAT(node_.offered, ElementsAre("1 to gw2"));
  EXPECT_EQ(group().state, "moving");
  EXPECT_THAT(control_->Move("vpn", "gw2").error().message, HasSubstr("being moved already"));
  EXPECT_EQ(Send(sa), 1u) << "it works until the other node is ready";
  Ready();
  EXPECT_EQ(Send(sa), 0u);
  EXPECT_THAT(node_.given, ElementsAre("1 to gw2"));
  EXPECT_EQ(content_.given.begin()->second, 2u) << "no gap";
  EXPECT_EQ(group().state, "moving");
  Turn();
  EXPECT_EQ(group().state, "standby");
  EXPECT_EQ(recorded_.back(), "given");
  EXPECT_THAT(expired_, IsEmpty());
}

TEST_F(ClusterControlTest, AMoveThatTheOtherNodeDoesNotAnswerIsGivenUp) {
  const auto sa = Begin(1);
  Gain();
  ASSERT_TRUE(control_->Move("vpn", "gw2"));
  Happen({.kind = Kind::kNotReady, .text = "gw2 did not answer"});
  EXPECT_EQ(group().state, "active");
  EXPECT_EQ(recorded_.back(), "kept");
  EXPECT_EQ(Send(sa), 1u);
  EXPECT_THAT(node_.given, IsEmpty());
  Ready();
  EXPECT_THAT(node_.given, IsEmpty()) << "too late";
}

TEST_F(ClusterControlTest, AMoveThatCannotBeIsRefusedInWords) {
  const auto why = [this](const std::string& name, const std::string& to) {
    return control_->Move(name, to).error().message;
  };
  EXPECT_THAT(why("other", "gw2"), HasSubstr("no group \"other\""));
  EXPECT_THAT(why("vpn", "gw2"), HasSubstr("nobody owns group vpn"));
  const auto sa = Begin(1);
  Gain();
  EXPECT_THAT(why("vpn", "gw1"), HasSubstr("this node owns it already"));
  EXPECT_THAT(why("vpn", "gw9"), HasSubstr("no node \"gw9\""));
  node_.heard = false;
  EXPECT_THAT(why("vpn", "gw2"), HasSubstr("sends no heartbeats"));
  node_.heard = true;
  store_.why = "no answer";
  EXPECT_THAT(why("vpn", "gw2"), HasSubstr("the store does not answer: no answer"));
  store_.why.clear();
  node_.offers = false;
  EXPECT_THAT(why("vpn", "gw2"), HasSubstr("it has no lease"));
  node_.offers = true;
  node_.gives = false;
  ASSERT_TRUE(control_->Move("vpn", "gw2"));
  Ready();
  EXPECT_EQ(recorded_.back(), "kept");
  Turn();
  (void)numbers_.DoSome();
  EXPECT_EQ(Send(sa), 1u) << "it goes on here";
  EXPECT_EQ(group().state, "active");
}

TEST_F(ClusterControlTest, ARefusalOfTheStoreMutesAndIsTriedAgain) {
  const auto sa = Begin(1);
  Gain();
  numbers_store_.is_owner = false;
  while (sa->outbound()->sequence.last_sent() < NumberSizes().smallest_block / 2) {
    if (sa->outbound()->sequence.Reserve(64).low) numbers_.OnLow(*sa);
  }
  (void)numbers_.DoSome();
  EXPECT_EQ(Send(sa), 0u);
  EXPECT_EQ(group().state, "refused");
  numbers_store_.is_owner = true;
  clock_.monotonic_ns += 1'000'000'000;
  Turn();
  (void)numbers_.DoSome();
  EXPECT_EQ(Send(sa), 1u);
  EXPECT_EQ(group().state, "active");
}

TEST_F(ClusterControlTest, AnEndGivesGroupsAwayAndARestartKeepsThem) {
  const auto sa = Begin(1);
  Gain();
  control_->Stop(ClusterControl::End::kRestart);
  EXPECT_EQ(node_.paused, 1000u);
  EXPECT_THAT(node_.given, IsEmpty());
  EXPECT_EQ(Send(sa), 0u);
  Gain();
  node_.paused = 0;
  node_.answers = Kind::kReady;
  control_->Stop(ClusterControl::End::kStop);
  EXPECT_THAT(node_.offered, ElementsAre("1 to "));
  EXPECT_THAT(node_.given, ElementsAre("1 to gw2"));
  EXPECT_EQ(node_.paused, 0u);
}

TEST_F(ClusterControlTest, AnEndGivesAGroupToWhoeverWantsItIfNobodyIsReady) {
  const auto sa = Begin(1);
  Gain();
  node_.answers = Kind::kNotReady;
  control_->Stop(ClusterControl::End::kStop);
  EXPECT_THAT(node_.given, ElementsAre("1 to "));
}

TEST_F(ClusterControlTest, AnEndWithoutAnotherNodeGivesTheGroupAtOnce) {
  const auto sa = Begin(1);
  Gain();
  node_.offers = false;
  control_->Stop(ClusterControl::End::kStop);
  EXPECT_THAT(node_.given, ElementsAre("1 to "));
}

TEST_F(ClusterControlTest, AfterAStoreThatWentBackNothingIsSentAndNewSasAreAskedFor) {
  const auto sa = Begin(1);
  Gain();
  store_.went_back = "another cluster id";
  Turn();
  EXPECT_EQ(Send(sa), 0u);
  EXPECT_THAT(expired_, ElementsAre(1u));
  EXPECT_EQ(control_->Report().went_back, "another cluster id");
  EXPECT_EQ(recorded_.back(), "went-back");
  const auto next = Begin(2);  // of the next era
  EXPECT_EQ(Send(next), 1u);
  Happen({.kind = Kind::kWentBack, .text = "the node's thread found it, too"});
  EXPECT_EQ(Send(next), 1u);
}

TEST_F(ClusterControlTest, AWorkerThatHangsEndsTheSignsOfLife) {
  control_->Turn(ClusterControl::Workers::kHang);
  EXPECT_EQ(node_.alive, 0);
  Turn();
  EXPECT_EQ(node_.alive, 1);
}

TEST_F(ClusterControlTest, TheDoctorNamesWhatIsAmiss) {
  const auto failed = [this] {
    std::vector<std::string> checks;
    for (const DoctorRow& row : control_->Doctor()) {
      if (!row.ok) checks.push_back(row.check);
    }
    return checks;
  };
  EXPECT_THAT(failed(), IsEmpty());
  store_.why = "no answer";
  node_.lease = false;
  node_.heard = false;
  store_.went_back = "older revision";
  Turn();
  EXPECT_THAT(failed(),
              ElementsAre("cluster-store", "cluster-lease", "cluster-peers", "cluster-era"));
}

}  // namespace
}  // namespace cygnet
