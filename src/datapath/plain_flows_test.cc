#include "datapath/plain_flows.h"

#include <gtest/gtest.h>

#include <array>

#include "policy/policy_state.h"

namespace cygnet {
namespace {

using Name = PlainFlows::Name;

PlainFlow Flow(uint32_t number) {
  PlainFlow flow;
  flow.addresses = 0x0a00000100000000u | number;
  flow.ports = 0x1234;
  flow.proto = kProtoUdp;
  return flow;
}

const PlainFlows::Entry* Find(const PlainFlows& flows, const Name& name, uint64_t generation) {
  return flows.Find(name.Place(), name, generation);
}

TEST(PlainFlowsTest, HoldsForItsNameAndGenerationAlone) {
  PlainFlows flows(64);
  const Name name(Flow(1), 2, 77);
  EXPECT_EQ(Find(flows, name, 1), nullptr);
  ASSERT_NE(flows.Store(name.Place(), name, 1, {}), nullptr);
  EXPECT_NE(Find(flows, name, 1), nullptr);
  EXPECT_EQ(Find(flows, name, 2), nullptr);
  // At the same place, so that only the name tells them apart.
  PlainFlow other_ports = Flow(1);
  other_ports.ports = 0x4321;
  PlainFlow other_proto = Flow(1);
  other_proto.proto = kProtoTcp;
  for (const Name& other : {Name(Flow(2), 2, 77), Name(Flow(1), 3, 77), Name(Flow(1), 2, 78),
                            Name(Flow(1), 2), Name(other_ports, 2, 77), Name(other_proto, 2, 77)}) {
    EXPECT_EQ(flows.Find(name.Place(), other, 1), nullptr);
  }
}

// Two flows of one place stay; a third takes the place of one of them, and of one out of date
// first.
TEST(PlainFlowsTest, APlaceHasRoomForTwo) {
  PlainFlows flows(64);
  const std::array names = {Name(Flow(1), 0), Name(Flow(2), 0), Name(Flow(3), 0)};
  const auto known = [&](uint64_t generation) {
    int n = 0;
    for (const Name& name : names) n += flows.Find(0, name, generation) != nullptr;
    return n;
  };
  for (const Name& name : names) {
    flows.Store(0, name, 1, {});
    EXPECT_NE(flows.Find(0, name, 1), nullptr);
  }
  EXPECT_EQ(known(1), 2);
  flows.Store(0, names[0], 2, {});
  flows.Store(0, names[1], 2, {});
  EXPECT_EQ(known(2), 2);
  EXPECT_EQ(known(1), 0);
}

TEST(PlainFlowsTest, ANameHasItsFlow) {
  PlainFlow flow = Flow(7);
  flow.ports = 0xfedcba98;
  EXPECT_EQ(Name(flow, 255, ~uint64_t{0}).Flow(), flow);
}

TEST(PlainFlowsTest, EachPolicyNotesItsUse) {
  PlainFlows flows(64);
  std::array<std::shared_ptr<Policy>, 3> policies;
  for (auto& policy : policies) policy = NewPolicy();
  FlowDecision decision;
  decision.policy = policies[0].get();
  decision.forward.first = policies[1].get();
  decision.forward.second = policies[2].get();
  const Name name(Flow(1), 0);
  const PlainFlows::Entry* entry = flows.Store(name.Place(), name, 1, decision);
  ASSERT_NE(entry, nullptr);
  entry->CountUse(1234);
  for (const auto& policy : policies) EXPECT_EQ(policy->use_time.load(), 1234u);
}

TEST(PlainFlowsTest, AFlowOfTheGeneralWayHasNoSaAndNoPolicy) {
  PlainFlows flows(64);
  const Name name(Flow(1), 0);
  const auto policy = NewPolicy();
  FlowDecision decision;
  decision.policy = policy.get();
  flows.Store(name.Place(), name, 1, decision);
  flows.Note(name.Place(), name, 2);
  const PlainFlows::Entry* entry = Find(flows, name, 2);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->sa, nullptr);
  entry->CountUse(1234);
  EXPECT_EQ(policy->use_time.load(), 0u);
}

// Then the general way counts the use of all.
TEST(PlainFlowsTest, ADecisionOfMorePoliciesIsNotKept) {
  PlainFlows flows(64);
  std::array<std::shared_ptr<Policy>, 4> policies;
  for (auto& policy : policies) policy = NewPolicy();
  FlowDecision decision;
  decision.policy = policies[0].get();
  decision.second = policies[1].get();
  decision.forward.first = policies[2].get();
  decision.forward.second = policies[3].get();
  const Name name(Flow(1), 0);
  EXPECT_EQ(flows.Store(name.Place(), name, 1, decision), nullptr);
  EXPECT_EQ(Find(flows, name, 1), nullptr);
  flows.Note(name.Place(), name, 1);
  EXPECT_EQ(flows.Store(name.Place(), name, 1, decision), nullptr);
  EXPECT_NE(Find(flows, name, 1), nullptr) << "it is noted still";
}

}  // namespace
}  // namespace cygnet
