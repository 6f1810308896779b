// Policies of direction fwd on packets that this host forwards to the wire: the pipeline and the
// seal guard. interop.policy_judge compares them with the running kernel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datapath/flow_decision.h"
#include "support/fragment_builder.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using enum PolicyDirection;
using test::Bytes;
using test::Frame;
using test::MakePolicy;
using test::Pattern;
using test::TemplateFor;
using test::TestPair;
using test::Udp;
using testing::IsEmpty;
using testing::SizeIs;

class ForwardPolicyTest : public testing::Test {
 protected:
  ForwardPolicyTest() { pair_.a.SetAddresses({"192.0.2.1", "10.1.0.1", "2001:db8::1"}); }
  // The packets from the LAN behind A that leave.
  std::vector<Bytes> Leaves(const char* src = "10.1.5.2", const char* dst = "10.2.0.1") {
    pair_.wire.clear();
    pair_.Deliver(Frame(Udp({.src = src, .dst = dst}, 1000, 2000, Pattern(40))));
    return pair_.wire;
  }
  void Add(PolicyDirection direction, const char* src, const char* dst,
           PolicyAction action = PolicyAction::kBlock, std::vector<Template> templates = {},
           uint32_t priority = 0) {
    pair_.a.AddPolicy(MakePolicy(direction, src, dst, std::move(templates), action, priority));
  }
  uint64_t Drops(DropReason reason) { return pair_.a.Drops(reason); }
  TestPair pair_;
};

TEST_F(ForwardPolicyTest, ABlockStopsWhatIsForwardedAndNotTheHostItself) {
  EXPECT_THAT(Leaves(), SizeIs(1));
  Add(kForward, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_THAT(Leaves(), IsEmpty());
  EXPECT_THAT(Leaves(), IsEmpty()) << "from the cache";
  EXPECT_EQ(Drops(DropReason::kInPolicyBlock), 2u);
  EXPECT_THAT(Leaves("10.1.0.1"), SizeIs(1));
  EXPECT_THAT(Leaves("10.1.5.2", "10.3.0.1"), SizeIs(1));
}

TEST_F(ForwardPolicyTest, TheUnspecifiedAddressIsTheHostsOwn) {
  Add(kForward, "0.0.0.0/0", "0.0.0.0/0");
  EXPECT_THAT(Leaves("0.0.0.0", "255.255.255.255"), SizeIs(1));  // DHCP
}

TEST_F(ForwardPolicyTest, TheDefaultHoldsWhereNoPolicyDoes) {
  pair_.a.path.spd.SetDefault(kForward, PolicyAction::kBlock);
  pair_.a.path.BumpGeneration();
  EXPECT_THAT(Leaves(), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kInNoPolicy), 1u);
  EXPECT_THAT(Leaves("10.1.0.1"), SizeIs(1));
  Add(kForward, "10.1.5.0/24", "10.2.0.0/16", PolicyAction::kAllow);
  EXPECT_THAT(Leaves(), SizeIs(1));
}

TEST_F(ForwardPolicyTest, BothDirectionsHaveToAllow) {
  Add(kForward, "10.1.5.0/24", "10.2.0.0/16", PolicyAction::kAllow);
  Add(kOut, "10.1.5.0/24", "10.2.0.0/16");
  EXPECT_THAT(Leaves(), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kOutPolicyBlock), 1u);
}

TEST_F(ForwardPolicyTest, UseOfBothPoliciesIsSeen) {
  const auto forward = pair_.a.AddPolicy(
      MakePolicy(kForward, "10.1.5.0/24", "10.2.0.0/16", {}, PolicyAction::kAllow));
  EXPECT_THAT(Leaves(), SizeIs(1));
  EXPECT_NE(forward->use_time.load(), 0u);
}

// Without a matching inbound SA the packet came in clear. With one it was checked on arrival, so
// that hub and spoke works.
TEST_F(ForwardPolicyTest, ATemplateNeedsAnSaToComeBy) {
  const test::SaOptions spoke{.src = "192.0.2.9", .dst = "192.0.2.1", .spi = 0x900, .reqid = 9};
  Add(kForward, "10.1.5.0/24", "10.2.0.0/16", PolicyAction::kAllow, {TemplateFor(spoke)});
  EXPECT_THAT(Leaves(), IsEmpty());
  EXPECT_EQ(Drops(DropReason::kInTemplateMismatch), 1u);
  pair_.a.Add(spoke);
  EXPECT_THAT(Leaves(), SizeIs(1));
}

TEST_F(ForwardPolicyTest, AnOptionalTemplateNeedsNone) {
  Template optional = TemplateFor({.reqid = 9});
  optional.optional = true;
  Add(kForward, "10.1.5.0/24", "10.2.0.0/16", PolicyAction::kAllow, {optional});
  EXPECT_THAT(Leaves(), SizeIs(1));
}

// A policy that selects by ports is checked for the whole datagram.
TEST_F(ForwardPolicyTest, FragmentsWaitForTheirDatagram) {
  pair_.a.path.ike_bypass = false;  // the bypass waits for ports as well
  PolicySpec block = MakePolicy(kForward, "10.1.5.0/24", "10.2.0.0/16", {}, PolicyAction::kBlock);
  block.selector.dport = 2000;
  block.selector.dport_mask = 0xffff;
  block.selector.proto = 17;
  pair_.a.AddPolicy(block);
  const auto ip = ParseIpPacket(Udp({.src = "10.1.5.2", .dst = "10.2.0.1"}, 1000, 2000, {}));
  IpPacketView later = *ip;
  later.fragment = true;
  EXPECT_TRUE(NeedsWholeDatagram(pair_.a.path, later, test::TestHost::kIfindex));
  later.flow.saddr = test::Ip("10.1.0.1");
  EXPECT_FALSE(NeedsWholeDatagram(pair_.a.path, later, test::TestHost::kIfindex));
}

// The guard decides alike for a packet that the pipeline has not seen.
TEST_F(ForwardPolicyTest, TheGuardAsksThemToo) {
  Add(kForward, "10.1.5.0/24", "10.2.0.0/16");
  const auto ip = ParseIpPacket(Udp({.src = "10.1.5.2", .dst = "10.2.0.1"}, 1000, 2000, {}));
  const FlowDecision decision = DecideOutbound(pair_.a.path, *ip, test::TestHost::kIfindex);
  EXPECT_EQ(decision.action, FlowAction::kDrop);
  EXPECT_EQ(decision.reason, DropReason::kInPolicyBlock);
}

}  // namespace
}  // namespace cygnet
