// Compares the index with the ordered walk that it replaces, also while it changes under readers.
#include "policy/policy_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <thread>

#include "policy/spd.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MakePolicy;
using enum PolicyDirection;

using Policies = std::vector<std::shared_ptr<Policy>>;

bool IsFor(const PolicySpec& spec, const FlowKey& flow) {
  return spec.unmet ||
         (spec.if_id == flow.if_id && (flow.mark & spec.mark_mask) == spec.mark_value);
}

// RFC 4301: the first match in order. Deliberately simple.
Policy* FirstMatch(const Policies& in_order, PolicyDirection direction, PolicyType type,
                   const FlowKey& flow, int32_t ifindex) {
  for (const auto& policy : in_order) {
    const PolicySpec& spec = policy->spec;
    if (spec.direction != direction || spec.type != type) continue;
    if (IsFor(spec, flow) && spec.selector.Matches(flow, ifindex)) return policy.get();
  }
  return nullptr;
}

PolicyMatch Walk(const Policies& in_order, PolicyDirection direction, const FlowKey& flow,
                 int32_t ifindex) {
  Policy* sub = FirstMatch(in_order, direction, PolicyType::kSub, flow, ifindex);
  if (sub != nullptr && sub->spec.blocks()) return {.first = sub};
  Policy* main = FirstMatch(in_order, direction, PolicyType::kMain, flow, ifindex);
  if (sub == nullptr) return {.first = main};
  if (main != nullptr && main->spec.blocks()) return {.first = main};
  return {.first = sub, .second = main};
}

// The flow of a later fragment has no ports: could the selector still match?
bool MatchesButForPorts(Selector selector, const FlowKey& flow, int32_t ifindex) {
  selector.dport_mask = 0;
  selector.sport_mask = 0;
  return selector.Matches(flow, ifindex);
}

bool WalkForPorts(const Policies& in_order, PolicyDirection direction, const FlowKey& flow,
                  int32_t ifindex, const PolicyMatch& certain) {
  for (const PolicyType type : {PolicyType::kMain, PolicyType::kSub}) {
    for (const auto& policy : in_order) {
      const PolicySpec& spec = policy->spec;
      if (spec.direction != direction || spec.type != type || !IsFor(spec, flow)) continue;
      if (policy.get() == certain.first || policy.get() == certain.second) break;
      const bool asks = spec.selector.sport_mask != 0 || spec.selector.dport_mask != 0;
      if (asks && MatchesButForPorts(spec.selector, flow, ifindex)) return true;
    }
  }
  return false;
}

// Random policies and flows from so few addresses that they overlap, nested and crossing.
class Maker {
 public:
  // With an even seed there are no SUB policies.
  explicit Maker(uint64_t seed) : random_(seed), sub_(seed % 2 == 1) {}

  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  template <typename T>
  T OneOf(std::initializer_list<T> of) {
    return of.begin()[Below(static_cast<uint32_t>(of.size()))];
  }

  IpAddress Address(IpFamily family) {
    IpAddress a;
    const std::size_t n = family == IpFamily::kV4 ? 4 : 16;
    for (std::size_t i = 0; i < n; ++i) a.bytes[i] = OneOf<uint8_t>({0, 0, 0, 1, 0x80, 0xff});
    return a;
  }
  FlowKey Flow() {
    FlowKey flow;
    flow.family = Below(4) == 0 ? IpFamily::kV6 : IpFamily::kV4;
    flow.saddr = Address(flow.family);
    flow.daddr = Address(flow.family);
    flow.proto = OneOf<uint8_t>({6, 17, 1});
    flow.sport = OneOf<uint16_t>({0, 80, 81, 500});
    flow.dport = OneOf<uint16_t>({0, 80, 81, 500});
    if (Below(3) == 0) flow.if_id = 1 + Below(2);
    if (Below(4) == 0) flow.mark = 1 + Below(2);
    return flow;
  }
  PolicySpec Spec() {
    PolicySpec spec;
    const FlowKey like = Flow();
    Selector& s = spec.selector;
    s.family = like.family;
    s.saddr = like.saddr;
    s.daddr = like.daddr;
    const uint32_t bits = AddressBits(s.family);
    s.prefixlen_s = static_cast<uint8_t>(Below(3) == 0 ? 0 : Below(bits + 1));
    s.prefixlen_d = static_cast<uint8_t>(Below(3) == 0 ? 0 : Below(bits + 1));
    if (Below(3) == 0) s.proto = like.proto;
    if (Below(3) == 0) {
      s.sport = like.sport;
      s.sport_mask = OneOf<uint16_t>({0xffff, 0xfff0, 0});
      s.dport = like.dport;
      s.dport_mask = OneOf<uint16_t>({0xffff, 0xfffe, 0});
    }
    if (Below(4) == 0) s.ifindex = static_cast<int32_t>(1 + Below(2));
    spec.priority = OneOf<uint32_t>({0, 1, 5, 5, 5, 0xffffffff, Below(1000)});
    spec.direction = OneOf({kIn, kOut, kOut, kForward});
    spec.type = sub_ && Below(4) == 0 ? PolicyType::kSub : PolicyType::kMain;
    spec.action = Below(3) == 0 ? PolicyAction::kBlock : PolicyAction::kAllow;
    if (Below(2) == 0) spec.templates.push_back(Template{});
    if (Below(10) == 0) spec.mark_mask = 0xff;
    if (Below(20) == 0) spec.mark_value = 1;
    if (Below(3) == 0) spec.if_id = 1 + Below(2);
    spec.unmet = spec.of_tunnel() && Below(8) == 0;
    return spec;
  }

 private:
  std::mt19937_64 random_;
  const bool sub_;
};

class SpdAgainstWalkTest : public testing::TestWithParam<uint64_t> {
 protected:
  // One random change, in the SPD and in the list.
  void Change(bool growing) {
    const uint32_t what = maker_.Below(100);
    if (what == 0 && !growing) {
      const PolicyType type = maker_.OneOf({PolicyType::kMain, PolicyType::kSub});
      spd_.RemoveAll(type);
      std::erase_if(all_, [&](const auto& policy) { return policy->spec.type == type; });
    } else if (what < (growing ? 75u : 30u) || all_.empty()) {
      PolicySpec spec = maker_.Spec();
      ASSERT_EQ(spd_.Find(IdOf(spec)), Known(spec));
      if (Known(spec) == nullptr) all_.push_back(spd_.Insert(std::move(spec), 0));
    } else if (what < 80) {
      const std::size_t at = maker_.Below(static_cast<uint32_t>(all_.size()));
      PolicySpec spec = all_[at]->spec;
      spec.priority = maker_.Below(10);
      spec.action = maker_.OneOf({PolicyAction::kAllow, PolicyAction::kBlock});
      const uint32_t index = spec.index;
      all_[at] = spd_.Replace(all_[at], std::move(spec), 0);
      ASSERT_EQ(all_[at]->spec.index, index);
      PolicyId id = IdOf(all_[at]->spec);
      id.index = index;
      ASSERT_EQ(spd_.Find(id), all_[at]);
    } else if (what < 85) {  // its tunnel goes or comes
      const std::size_t at = maker_.Below(static_cast<uint32_t>(all_.size()));
      const PolicySpec& spec = all_[at]->spec;
      if (spec.of_tunnel()) all_[at] = spd_.SetUnmet(all_[at], !spec.unmet);
    } else {
      RemoveOne();
    }
    quiescence_.Collect();
  }

  void RemoveOne() {
    const std::size_t at = maker_.Below(static_cast<uint32_t>(all_.size()));
    spd_.Remove(all_[at]);
    all_.erase(all_.begin() + static_cast<std::ptrdiff_t>(at));
    quiescence_.Collect();
  }

  std::shared_ptr<Policy> Known(const PolicySpec& spec) const {
    for (const auto& policy : all_) {
      const PolicySpec& other = policy->spec;
      if (other.selector == spec.selector && other.direction == spec.direction &&
          other.type == spec.type && other.mark_value == spec.mark_value &&
          other.mark_mask == spec.mark_mask && other.if_id == spec.if_id) {
        return policy;
      }
    }
    return nullptr;
  }

  void Compare() {
    Policies in_order = all_;
    std::sort(in_order.begin(), in_order.end(),
              [](const auto& a, const auto& b) { return Before(*a, *b); });
    constexpr std::size_t kFlows = 40;  // more than one batch of the index
    std::array<FlowKey, kFlows> flows;
    std::array<const FlowKey*, kFlows> asked;
    for (std::size_t i = 0; i < kFlows; ++i) {
      flows[i] = maker_.Flow();
      asked[i] = &flows[i];
    }
    for (const PolicyDirection direction : {kIn, kOut, kForward}) {
      const auto ifindex = static_cast<int32_t>(maker_.Below(3));
      std::array<PolicyMatch, kFlows> matches;
      spd_.Lookup(direction, asked, ifindex, matches);
      for (std::size_t i = 0; i < kFlows; ++i) {
        const PolicyMatch walked = Walk(in_order, direction, flows[i], ifindex);
        ASSERT_EQ(matches[i].first, walked.first);
        ASSERT_EQ(matches[i].second, walked.second);
      }
    }
    for (const FlowKey& flow : flows) {
      const auto ifindex = static_cast<int32_t>(maker_.Below(3));
      for (const PolicyDirection direction : {kIn, kOut, kForward}) {
        const PolicyMatch certain = spd_.Lookup(direction, flow, ifindex);
        const PolicyMatch walked = Walk(in_order, direction, flow, ifindex);
        ASSERT_EQ(certain.first, walked.first);
        ASSERT_EQ(certain.second, walked.second);
        ASSERT_EQ(spd_.PortsMightDecide(direction, flow, ifindex, certain),
                  WalkForPorts(in_order, direction, flow, ifindex, certain));
      }
    }
  }

  Quiescence quiescence_;
  Spd spd_{&quiescence_};
  Maker maker_{GetParam()};
  Policies all_;
};

TEST_P(SpdAgainstWalkTest, SameAnswersThroughEveryChange) {
  for (int i = 0; i < 400; ++i) {
    Change(i < 200);
    if (i % 10 == 0) Compare();
    if (HasFatalFailure()) return;
  }
  while (!all_.empty()) {
    spd_.Remove(all_.back());
    all_.pop_back();
    if (all_.size() % 16 == 0) Compare();
  }
  EXPECT_TRUE(spd_.Idle());
}

// About a third of the policies are in one index and of IPv4, so these come to be few and many.
TEST_P(SpdAgainstWalkTest, SameAnswersWhetherThereAreFewOrMany) {
  for (int i = 0; i < 400; ++i) {
    const bool growing = i < 100 || i / 50 % 2 == 1;
    if (growing || all_.size() <= 20) {
      Change(true);
    } else {
      RemoveOne();
    }
    if (i % 2 == 0) Compare();
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SpdAgainstWalkTest, testing::Range(uint64_t{1}, uint64_t{21}));

// Every pair of prefix lengths at once: the flow matches all of them.
TEST(PolicyIndexTest, EveryPairOfPrefixLengths) {
  Quiescence quiescence;
  Spd spd(&quiescence);
  std::shared_ptr<Policy> best;
  for (uint32_t s = 0; s <= 32; ++s) {
    for (uint32_t d = 0; d <= 32; ++d) {
      PolicySpec spec =
          MakePolicy(kOut, "10.1.0.1/" + std::to_string(s), "10.2.0.1/" + std::to_string(d), {},
                     PolicyAction::kAllow, (s * 7 + d * 13) % 33 + 1);
      const bool is_best = s == 5 && d == 9;
      if (is_best) spec.priority = 0;
      const auto policy = spd.Insert(std::move(spec), 0);
      if (is_best) best = policy;
    }
  }
  FlowKey flow;
  flow.saddr = test::Ip("10.1.0.1");
  flow.daddr = test::Ip("10.2.0.1");
  flow.family = IpFamily::kV4;
  EXPECT_EQ(spd.Lookup(kOut, flow, 0).first, best.get());
  const FlowKey* const asked = &flow;
  PolicyMatch match;
  spd.Lookup(kOut, {&asked, 1}, 0, {&match, 1});
  EXPECT_EQ(match.first, best.get());
  flow.daddr = test::Ip("138.2.0.1");  // matches only those without a destination
  EXPECT_EQ(spd.Lookup(kOut, flow, 0).first->spec.selector.prefixlen_d, 0);
}

// A policy that is replaced, or followed by another before its removal, is never missed meanwhile.
class MomentsTest : public testing::TestWithParam<int> {};

TEST_P(MomentsTest, NoneWithoutEitherForAReader) {
  Quiescence quiescence;
  Quiescence::Reader* reader = quiescence.AddReader();
  Spd spd(&quiescence);
  const auto block = [](uint32_t priority, const char* src) {
    return MakePolicy(kOut, src, "10.2.0.0/16", {}, PolicyAction::kBlock, priority);
  };
  for (int i = 0; i < GetParam(); ++i) {
    spd.Insert(MakePolicy(kOut, "10.9.0.0/16", "10.2.0." + std::to_string(i)), 0);
  }
  std::shared_ptr<Policy> now = spd.Insert(block(5, "10.1.0.0/16"), 0);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> looked{0};
  std::atomic<uint64_t> missed{0};
  std::thread worker([&] {
    FlowKey flow;
    flow.saddr = test::Ip("10.1.0.1");
    flow.daddr = test::Ip("10.2.0.1");
    flow.family = IpFamily::kV4;
    const FlowKey* const asked = &flow;
    reader->Online();
    while (!stop.load()) {
      PolicyMatch match;
      spd.Lookup(kOut, {&asked, 1}, 0, {&match, 1});
      for (const Policy* policy : {spd.Lookup(kOut, flow, 0).first, match.first}) {
        if (policy == nullptr || policy->spec.action != PolicyAction::kBlock) missed.fetch_add(1);
      }
      looked.fetch_add(1);
      reader->Quiescent();
    }
    reader->Offline();
  });
  while (looked.load() == 0) std::this_thread::yield();
  constexpr const char* kSources[] = {"10.1.0.0/16", "10.0.0.0/8", "10.1.0.1", "0.0.0.0/0"};
  for (uint32_t i = 0; i < 2000; ++i) {
    if (i % 4 == 0) {
      PolicySpec spec = now->spec;
      spec.priority = i % 7;
      now = spd.Replace(now, std::move(spec), 0);
    } else if (i % 4 == 1) {
      now = spd.Amend(now, std::vector<Template>(i % 3));
    } else {
      const auto next = spd.Insert(block(i % 5, kSources[i / 4 % 4]), 0);
      spd.Remove(now);
      now = next;
    }
    if (i % 16 == 0) quiescence.Collect();
  }
  stop = true;
  worker.join();
  EXPECT_EQ(missed.load(), 0u);
}

// Nor is its direction taken for one without policies while it loses or gets its tunnel.
TEST(MomentsOfATunnelTest, DirectionIsNeverIdleForAReader) {
  Quiescence quiescence;
  Quiescence::Reader* reader = quiescence.AddReader();
  Spd spd(&quiescence);
  PolicySpec spec = MakePolicy(PolicyDirection::kForward, "10.1.0.0/16", "10.2.0.0/16");
  spec.if_id = 7;
  std::shared_ptr<Policy> policy = spd.Insert(spec, 0);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> looked{0};
  std::atomic<uint64_t> idle{0};
  std::thread worker([&] {
    reader->Online();
    while (!stop.load()) {
      if (spd.Idle(PolicyDirection::kForward)) idle.fetch_add(1);
      looked.fetch_add(1);
      reader->Quiescent();
    }
    reader->Offline();
  });
  while (looked.load() == 0) std::this_thread::yield();
  for (uint32_t i = 0; i < 20'000; ++i) {
    policy = spd.SetUnmet(policy, i % 2 == 0);
    if (i % 16 == 0) quiescence.Collect();
  }
  stop = true;
  worker.join();
  EXPECT_EQ(idle.load(), 0u);
}

// With no others they are few, with 30 many; with 15 they are both in turns.
INSTANTIATE_TEST_SUITE_P(Others, MomentsTest, testing::Values(0, 15, 30));

}  // namespace
}  // namespace cygnet
