#include "policy/spd.h"

#include <gtest/gtest.h>

#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MakePolicy;
using enum PolicyDirection;

FlowKey Flow(const char* src = "10.1.0.1", const char* dst = "10.2.0.1") {
  FlowKey f;
  f.saddr = test::Ip(src);
  f.daddr = test::Ip(dst);
  f.family = test::Addr(src).family;
  f.proto = 17;
  return f;
}

class SpdTest : public testing::Test {
 protected:
  std::shared_ptr<Policy> Add(uint32_t priority, PolicyAction action = PolicyAction::kAllow,
                              PolicyType type = PolicyType::kMain, bool protect = false) {
    PolicySpec spec = MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16", {}, action, priority);
    spec.type = type;
    if (protect) spec.templates.push_back(test::TemplateFor({}));
    return spd_.Insert(std::move(spec), 5);
  }
  const Policy* Find(const FlowKey& flow = Flow()) { return spd_.Lookup(kOut, flow, 0).first; }
  Quiescence quiescence_;
  Spd spd_{&quiescence_};
};

TEST_F(SpdTest, EmptyIsIdleAndAllows) {
  EXPECT_TRUE(spd_.Idle());
  EXPECT_EQ(Find(), nullptr);
  for (const PolicyDirection d : {kIn, kOut, kForward}) {
    EXPECT_EQ(spd_.DefaultAction(d), PolicyAction::kAllow);
  }
}

TEST_F(SpdTest, PolicyOrDefaultEndsIdleness) {
  const auto policy = Add(1);
  EXPECT_FALSE(spd_.Idle());
  spd_.Remove(policy);
  EXPECT_TRUE(spd_.Idle());
  spd_.SetDefault(kForward, PolicyAction::kBlock);
  EXPECT_FALSE(spd_.Idle());
  EXPECT_EQ(spd_.DefaultAction(kForward), PolicyAction::kBlock);
  EXPECT_EQ(spd_.DefaultAction(kIn), PolicyAction::kAllow);
}

// A policy that is exchanged for one with other templates asks for other SAs, and so does one that
// blocks from then on.
TEST_F(SpdTest, EachPolicyKnowsWhatItAsksFor) {
  const auto first = Add(1, PolicyAction::kAllow, PolicyType::kMain, true);
  PolicySpec neighbour = first->spec;
  neighbour.selector.dport = 443;
  neighbour.selector.dport_mask = 0xffff;
  const auto second = spd_.Insert(std::move(neighbour), 5);
  EXPECT_EQ(second->asks, first->asks);
  const auto amended = spd_.Amend(second, {test::TemplateFor({.reqid = 99})});
  EXPECT_NE(amended->asks, first->asks);
  const auto unmet = spd_.SetUnmet(first, true);
  EXPECT_NE(unmet->asks, second->asks);
  PolicySpec back = unmet->spec;
  back.unmet = false;
  EXPECT_EQ(spd_.Replace(unmet, std::move(back), 6)->asks, second->asks);
}

TEST_F(SpdTest, LowestPriorityNumberWinsWhateverThePrefix) {
  spd_.Insert(MakePolicy(kOut, "10.1.0.1", "10.2.0.1", {}, PolicyAction::kAllow, 10), 0);
  const auto wide =
      spd_.Insert(MakePolicy(kOut, "0.0.0.0/0", "0.0.0.0/0", {}, PolicyAction::kBlock, 9), 0);
  EXPECT_EQ(Find(), wide.get());
  const auto best = Add(0);
  EXPECT_EQ(Find(), best.get());
}

TEST_F(SpdTest, OlderWinsAmongEquals) {
  const auto older = Add(5);
  const auto newer = Add(5, PolicyAction::kBlock);
  EXPECT_EQ(Find(), older.get());
  spd_.Remove(older);
  EXPECT_EQ(Find(), newer.get());
}

TEST_F(SpdTest, DirectionsAreApart) {
  const auto out = Add(5);
  EXPECT_EQ(spd_.Lookup(kIn, Flow(), 0).first, nullptr);
  EXPECT_EQ(spd_.Lookup(kForward, Flow(), 0).first, nullptr);
  EXPECT_EQ(Find(), out.get());
}

TEST_F(SpdTest, FamiliesAreApart) {
  spd_.Insert(MakePolicy(kOut, "0.0.0.0/0", "0.0.0.0/0"), 0);
  EXPECT_EQ(Find(Flow("fd01::1", "fd02::1")), nullptr);
}

TEST_F(SpdTest, InterfaceOfThePolicyMustFit) {
  PolicySpec spec = MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16");
  spec.selector.ifindex = 3;
  const auto policy = spd_.Insert(std::move(spec), 0);
  EXPECT_EQ(spd_.Lookup(kOut, Flow(), 3).first, policy.get());
  EXPECT_EQ(spd_.Lookup(kOut, Flow(), 4).first, nullptr);
}

TEST_F(SpdTest, SubPoliciesComeFirst) {
  const auto main = Add(1);
  const auto sub_block = Add(9, PolicyAction::kBlock, PolicyType::kSub);
  EXPECT_EQ(Find(), sub_block.get());
  spd_.Remove(sub_block);
  const auto sub_protect = Add(9, PolicyAction::kAllow, PolicyType::kSub, true);
  EXPECT_EQ(Find(), sub_protect.get());
  spd_.Remove(sub_protect);
  const auto sub_allow = Add(9, PolicyAction::kAllow, PolicyType::kSub);
  spd_.Remove(main);
  EXPECT_EQ(Find(), sub_allow.get());
}

TEST_F(SpdTest, SubAndMainBothHold) {
  const auto main = Add(1, PolicyAction::kAllow, PolicyType::kMain, true);
  const auto sub = Add(9, PolicyAction::kAllow, PolicyType::kSub, true);
  const PolicyMatch match = spd_.Lookup(kOut, Flow(), 0);
  EXPECT_EQ(match.first, sub.get());
  EXPECT_EQ(match.second, main.get());
  EXPECT_EQ(match.templates(), 2u);
  EXPECT_EQ(&match.at(0), &sub->spec.templates[0]);
  EXPECT_EQ(&match.at(1), &main->spec.templates[0]);
}

TEST_F(SpdTest, AmendedPolicyKeepsPlaceAgeAndIndex) {
  const auto older = Add(1, PolicyAction::kAllow, PolicyType::kMain, true);
  spd_.Insert(MakePolicy(kOut, "10.1.0.0/24", "10.2.0.0/24", {}, PolicyAction::kAllow, 1), 6);
  older->Touch(77);
  const auto amended = spd_.Amend(older, {test::TemplateFor({.dst = "192.0.2.9"})});
  EXPECT_EQ(Find(), amended.get()) << "still before policies of equal priority";
  EXPECT_EQ(amended->spec.index, older->spec.index);
  EXPECT_EQ(amended->add_time, 5u);
  EXPECT_EQ(amended->use_time.load(), 77u);
  EXPECT_EQ(spd_.Find({.selector = older->spec.selector, .direction = kOut}), amended);
  EXPECT_EQ(spd_.FindByNumber(older->number), amended);
  EXPECT_EQ(spd_.List().size(), 2u);
  spd_.Remove(amended);
  EXPECT_NE(Find(), nullptr);
  EXPECT_EQ(spd_.List().size(), 1u);
}

TEST_F(SpdTest, FirstOfAType) {
  const auto main = Add(2);
  const auto sub = Add(1, PolicyAction::kAllow, PolicyType::kSub);
  EXPECT_EQ(spd_.FindFirst(kOut, PolicyType::kMain, Flow(), 0), main);
  EXPECT_EQ(spd_.FindFirst(kOut, PolicyType::kSub, Flow(), 0), sub);
  EXPECT_EQ(spd_.FindFirst(kIn, PolicyType::kMain, Flow(), 0), nullptr);
}

// Issue 13, 10. interop.policy_judge compares this with the running kernel.
TEST_F(SpdTest, AnUpdateKeepsTheTurnWhereTheKernelKeepsIt) {
  struct Case {
    const char* a[2];
    const char* b[2];
    bool stays;
  };
  for (const Case& c : std::initializer_list<Case>{
           {{"10.1.0.0/24", "10.2.0.0/16"}, {"10.1.0.0/16", "10.2.0.0/24"}, true},
           {{"10.1.0.0/16", "10.2.0.0/16"}, {"10.1.0.1", "10.2.0.1"}, false},
           {{"10.1.0.1", "10.2.0.1"}, {"10.1.0.0/16", "10.2.0.0/16"}, false},
           {{"0.0.0.0/0", "10.2.0.0/16"}, {"10.1.0.0/16", "0.0.0.0/0"}, false},
           {{"0.0.0.0/0", "10.2.0.0/16"}, {"10.0.0.0/8", "10.2.0.0/24"}, true},
           {{"10.0.0.0/8", "0.0.0.0/0"}, {"0.0.0.0/0", "10.0.0.0/8"}, true},
           {{"10.1.0.0/16", "0.0.0.0/0"}, {"10.1.0.0/24", "10.0.0.0/8"}, true}}) {
    const auto a = spd_.Insert(MakePolicy(kOut, c.a[0], c.a[1]), 0);
    const auto b = spd_.Insert(MakePolicy(kOut, c.b[0], c.b[1]), 0);
    EXPECT_EQ(Find(), a.get());
    const auto updated = spd_.Replace(a, a->spec, 0);
    EXPECT_EQ(Find(), c.stays ? updated.get() : b.get()) << c.a[0] << ' ' << c.a[1];
    EXPECT_EQ(spd_.List().front(), updated) << "still listed as the newest";
    spd_.RemoveAll(PolicyType::kMain);
  }
}

TEST_F(SpdTest, AnUpdateOfThePriorityTakesTheLastTurn) {
  const auto a = Add(5);
  PolicySpec other = MakePolicy(kOut, "10.1.0.0/24", "10.2.0.0/24", {}, PolicyAction::kAllow, 4);
  const auto b = spd_.Insert(std::move(other), 0);
  PolicySpec equal = a->spec;
  equal.priority = 4;
  spd_.Replace(a, std::move(equal), 0);
  EXPECT_EQ(Find(), b.get());
}

// A non-overlapping peer in another list does not change the order among neighbours.
TEST_F(SpdTest, AnUpdateKeepsTheTurnAmongNeighboursBesideOtherPeers) {
  const auto a = spd_.Insert(MakePolicy(kOut, "10.1.0.0/24", "10.2.0.0/16"), 0);
  spd_.Insert(MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/24"), 0);
  spd_.Insert(MakePolicy(kOut, "10.9.0.1", "10.9.0.2"), 0);
  const auto updated = spd_.Replace(a, a->spec, 0);
  EXPECT_EQ(Find(), updated.get());
  spd_.Remove(spd_.Find(
      {.selector = MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/24").selector, .direction = kOut}));
  const auto host = spd_.Insert(MakePolicy(kOut, "10.1.0.1", "10.2.0.1"), 0);
  const auto once_more = spd_.Replace(updated, updated->spec, 0);
  EXPECT_EQ(Find(), host.get()) << once_more->place;
}

// As in the kernel: the first index of direction "in" would be 0 and becomes 8 without a step.
TEST_F(SpdTest, FirstIndexOfAFreshTable) {
  EXPECT_EQ(spd_.Insert(MakePolicy(kIn, "10.1.0.0/16", "10.2.0.0/16"), 0)->spec.index, 8u);
  EXPECT_EQ(spd_.Insert(MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16"), 0)->spec.index, 9u);
  EXPECT_EQ(spd_.Insert(MakePolicy(kIn, "10.3.0.0/16", "10.2.0.0/16"), 0)->spec.index, 16u);
}

TEST_F(SpdTest, BlockOfAMainPolicyIsNotLiftedByASubPolicy) {
  const auto main = Add(1, PolicyAction::kBlock);
  Add(9, PolicyAction::kAllow, PolicyType::kSub, true);
  EXPECT_EQ(Find(), main.get());
}

// Issue 13, 8.
TEST_F(SpdTest, ABlockWhoseMarkNoTunnelHasBlocksEveryPacketOfItsSelector) {
  PolicySpec spec = MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16", {}, PolicyAction::kBlock);
  spec.mark_value = 5;
  spec.mark_mask = 0xff;
  spec.unmet = true;
  const PolicySpec copy = spec;
  const auto policy = spd_.Insert(std::move(spec), 0);
  EXPECT_EQ(Find(), policy.get());
  EXPECT_EQ(Find(Flow("10.1.0.1", "10.3.0.1")), nullptr);
  EXPECT_EQ(
      spd_.Find({.selector = copy.selector, .direction = kOut, .mark_value = 5, .mark_mask = 0xff}),
      policy);
  EXPECT_EQ(spd_.Find({.selector = copy.selector, .direction = kOut}), nullptr);
}

// Kernel: xfrm_policy_match.
TEST_F(SpdTest, APolicyIsForThePacketsOfItsTunnelAlone) {
  PolicySpec spec = MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16");
  const auto plain = spd_.Insert(spec, 0);
  spec.if_id = 7;
  const auto seven = spd_.Insert(spec, 0);
  spec.if_id = 8;
  const auto eight = spd_.Insert(spec, 0);
  spec.if_id = 0;
  spec.mark_value = 0x2a;
  spec.mark_mask = 0xff;
  spec.priority = 0;
  const auto marked = spd_.Insert(spec, 0);
  FlowKey flow = Flow("10.1.0.1", "10.2.0.1");
  EXPECT_EQ(Find(flow), plain.get());
  flow.SetTunnel(7, 0);
  EXPECT_EQ(Find(flow), seven.get());
  flow.SetTunnel(8, 0);
  EXPECT_EQ(Find(flow), eight.get());
  flow.SetTunnel(9, 0);
  EXPECT_EQ(Find(flow), nullptr);
  flow.SetTunnel(0, 0x12a);
  EXPECT_EQ(Find(flow), marked.get());
  flow.SetTunnel(0, 0x2b);
  EXPECT_EQ(Find(flow), plain.get()) << "one without a mark is for every mark";
}

// What its tunnel would have protected must not take another way in clear.
TEST_F(SpdTest, APolicyWithoutItsTunnelBlocksUntilItIsThereAgain) {
  PolicySpec spec = MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16");
  spec.if_id = 7;
  auto policy = spd_.Insert(spec, 0);
  const FlowKey flow = Flow("10.1.0.1", "10.2.0.1");
  EXPECT_FALSE(spd_.Lookup(kOut, flow, 0).any());
  policy = spd_.SetUnmet(policy, true);
  EXPECT_TRUE(spd_.Lookup(kOut, flow, 0).blocks());
  EXPECT_EQ(spd_.Find(IdOf(spec)), policy);
  policy = spd_.SetUnmet(policy, false);
  EXPECT_FALSE(spd_.Lookup(kOut, flow, 0).any());
  spd_.Remove(policy);
  EXPECT_TRUE(spd_.Idle());
}

TEST_F(SpdTest, IndexCountsInEightsAcrossDirections) {
  EXPECT_EQ(spd_.Insert(MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16"), 0)->spec.index, 1u);
  EXPECT_EQ(spd_.Insert(MakePolicy(kIn, "10.1.0.0/16", "10.2.0.0/16"), 0)->spec.index, 8u);
  EXPECT_EQ(spd_.Insert(MakePolicy(kForward, "10.1.0.0/16", "10.2.0.0/16"), 0)->spec.index, 18u);
}

TEST_F(SpdTest, IndexZeroIsLeftOut) {
  EXPECT_EQ(spd_.Insert(MakePolicy(kIn, "10.1.0.0/16", "10.2.0.0/16"), 0)->spec.index, 8u);
}

TEST_F(SpdTest, WantedIndexIsHonouredWhenFree) {
  PolicySpec wanted = MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16");
  wanted.index = 41;
  EXPECT_EQ(spd_.Insert(wanted, 0)->spec.index, 41u);
  EXPECT_NE(spd_.Insert(wanted, 0)->spec.index, 41u);
  EXPECT_EQ(spd_.Insert(MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16"), 0)->spec.index % 8, 1u);
}

TEST_F(SpdTest, FindByIndexAndBySelector) {
  const auto policy = Add(1);
  PolicyId by_index;
  by_index.index = policy->spec.index;
  by_index.direction = kOut;
  EXPECT_EQ(spd_.Find(by_index), policy);
  by_index.direction = kIn;
  EXPECT_EQ(spd_.Find(by_index), nullptr);
  PolicyId by_selector{.selector = policy->spec.selector, .direction = kOut};
  EXPECT_EQ(spd_.Find(by_selector), policy);
  by_selector.type = PolicyType::kSub;
  EXPECT_EQ(spd_.Find(by_selector), nullptr);
}

TEST_F(SpdTest, HostBitsMakeTwoPoliciesThatMatchTheSame) {
  const auto a = spd_.Insert(MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16"), 0);
  const auto b = spd_.Insert(MakePolicy(kOut, "10.1.2.3/16", "10.2.0.0/16"), 0);
  EXPECT_EQ(spd_.Find({.selector = a->spec.selector, .direction = kOut}), a);
  EXPECT_EQ(spd_.Find({.selector = b->spec.selector, .direction = kOut}), b);
  EXPECT_EQ(Find(), a.get());
  spd_.Remove(a);
  EXPECT_EQ(Find(), b.get());
}

TEST_F(SpdTest, RemovedPolicyStaysWholeForWorkers) {
  auto policy = Add(1);
  const std::weak_ptr<Policy> watch = policy;
  Quiescence::Reader* reader = quiescence_.AddReader();
  reader->Online();
  Policy* raw = spd_.Lookup(kOut, Flow(), 0).first;
  spd_.Remove(policy);
  policy.reset();
  quiescence_.Collect();
  raw->Touch(9);
  EXPECT_FALSE(watch.expired());
  reader->Quiescent();
  quiescence_.Collect();
  EXPECT_TRUE(watch.expired());
}

TEST_F(SpdTest, ListIsNewestFirstAndCountsAreByDirection) {
  const auto first = Add(1);
  const auto second = spd_.Insert(MakePolicy(kIn, "10.1.0.0/16", "10.2.0.0/16"), 0);
  EXPECT_EQ(spd_.List(), (std::vector<std::shared_ptr<Policy>>{second, first}));
  EXPECT_EQ(spd_.Counts(), (std::array<uint32_t, 3>{1, 1, 0}));
}

TEST_F(SpdTest, HundredsInsertedAndRemovedKeepTheRest) {
  const auto kept = Add(1);
  std::vector<std::shared_ptr<Policy>> all;
  for (int i = 0; i < 300; ++i) {
    all.push_back(spd_.Insert(MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16", {},
                                         PolicyAction::kBlock, 100 + static_cast<uint32_t>(i)),
                              0));
  }
  for (const auto& policy : all) {
    EXPECT_EQ(Find(), kept.get());
    spd_.Remove(policy);
  }
  EXPECT_EQ(Find(), kept.get());
  EXPECT_EQ(spd_.List().size(), 1u);
}

}  // namespace
}  // namespace cygnet
