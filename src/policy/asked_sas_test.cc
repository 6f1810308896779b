#include "policy/asked_sas.h"

#include <gtest/gtest.h>

#include "support/test_sa.h"

namespace cygnet {
namespace {

PolicySpec Spec(uint32_t reqid = 1) {
  return test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                          {test::TemplateFor({.reqid = reqid})});
}

TEST(AskedSasTest, PoliciesOfOtherFlowsAskForTheSame) {
  AskedSas asked;
  PolicySpec other = Spec();
  other.selector.dport = 443;
  other.selector.dport_mask = 0xffff;
  other.priority = 7;
  EXPECT_NE(asked.NumberOf(Spec()), 0u);
  EXPECT_EQ(asked.NumberOf(Spec()), asked.NumberOf(other));
}

// What differs in anything that the choice of an SA, or the packet's fate, depends on.
TEST(AskedSasTest, AnyOtherRequestHasAnotherNumber) {
  AskedSas asked;
  const uint64_t first = asked.NumberOf(Spec());
  PolicySpec blocks = Spec(), unmet = Spec(), flags = Spec(), if_id = Spec(), value = Spec(),
             mask = Spec(), device = Spec(), none = Spec(), more = Spec();
  blocks.action = PolicyAction::kBlock;
  unmet.unmet = true;
  flags.flags = kPolicyCpuAcquire;
  if_id.if_id = 5;
  value.mark_value = 1;
  mask.mark_mask = 1;
  device.offload = OffloadRequest{.mode = OffloadMode::kPacket, .ifindex = 3};
  none.templates.clear();
  more.templates.push_back(test::TemplateFor({}));
  for (const PolicySpec* other :
       {&blocks, &unmet, &flags, &if_id, &value, &mask, &device, &none, &more}) {
    EXPECT_NE(asked.NumberOf(*other), first);
  }
  const PolicySpec other_id = Spec(2);
  EXPECT_NE(asked.NumberOf(other_id), asked.NumberOf(Spec()));
}

TEST(AskedSasTest, AFewPeersInTurnsKeepTheirNumbers) {
  AskedSas asked;
  std::vector<uint64_t> numbers;
  for (uint32_t round = 0; round < 3; ++round) {
    for (uint32_t peer = 1; peer <= 8; ++peer) numbers.push_back(asked.NumberOf(Spec(peer)));
  }
  for (std::size_t i = 8; i < numbers.size(); ++i) EXPECT_EQ(numbers[i], numbers[i - 8]) << i;
  // With more, a number may be another one each time, but it is never that of another request.
  for (uint32_t peer = 1; peer <= 100; ++peer) {
    const uint64_t number = asked.NumberOf(Spec(peer));
    for (uint32_t other = 1; other < peer; ++other) {
      EXPECT_NE(asked.NumberOf(Spec(other)), number) << peer << " " << other;
    }
  }
}

}  // namespace
}  // namespace cygnet
