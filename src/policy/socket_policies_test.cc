// Which packets match a socket's policy.
#include "policy/socket_policies.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "support/test_sa.h"

namespace cygnet {
namespace {

using enum PolicyDirection;

FlowKey Udp(const char* saddr, uint16_t sport, const char* daddr, uint16_t dport) {
  FlowKey flow;
  flow.saddr = test::Ip(saddr);
  flow.daddr = test::Ip(daddr);
  flow.sport = sport;
  flow.dport = dport;
  flow.family = IpFamily::kV4;
  flow.proto = 17;
  return flow;
}

class SocketPoliciesTest : public testing::Test {
 protected:
  static SocketEnds At(uint16_t port, const char* local = nullptr) {
    SocketEnds ends;
    ends.local_port = port;
    ends.family = IpFamily::kV4;
    ends.proto = 17;
    if (local != nullptr) ends.local = test::Ip(local);
    return ends;
  }
  std::shared_ptr<const SocketPolicy> Give(const SocketEnds& ends, PolicyDirection direction,
                                           PolicyAction action = PolicyAction::kAllow,
                                           const char* to = "0.0.0.0/0") {
    std::shared_ptr<Policy> policy(new Policy);
    policy->spec = test::MakePolicy(direction, "0.0.0.0/0", to, {}, action);
    auto entry = std::make_shared<const SocketPolicy>(SocketPolicy{ends, std::move(policy)});
    policies_.Insert(entry.get());
    given_.push_back(entry);
    return entry;
  }
  Policy* Out(const FlowKey& flow, int32_t ifindex = 1) const {
    return policies_.Find(kOut, flow, ifindex);
  }
  Policy* In(const FlowKey& flow, int32_t ifindex = 1) const {
    return policies_.Find(kIn, flow, ifindex);
  }

  Quiescence quiescence_;
  std::vector<std::shared_ptr<const SocketPolicy>> given_;  // the table does not own them
  SocketPolicies policies_{&quiescence_};
  const FlowKey sent_ = Udp("192.0.2.1", 5500, "192.0.2.2", 9);
  const FlowKey got_ = Udp("192.0.2.2", 9, "192.0.2.1", 5500);
};

TEST_F(SocketPoliciesTest, ProtocolAndOwnPortOfItsDirectionAlone) {
  EXPECT_TRUE(policies_.Empty());
  const auto entry = Give(At(5500), kOut);
  EXPECT_EQ(Out(sent_), entry->policy.get());
  EXPECT_EQ(In(got_), nullptr);
  EXPECT_EQ(Out(got_), nullptr) << "the remote side chooses its own port";
  FlowKey tcp = sent_;
  tcp.proto = 6;
  EXPECT_EQ(Out(tcp), nullptr);
  EXPECT_EQ(Out(Udp("192.0.2.1", 5501, "192.0.2.2", 9)), nullptr);
  EXPECT_EQ(policies_.Find(kForward, sent_, 1), nullptr);
  EXPECT_TRUE(policies_.AnyOf(17));
  EXPECT_FALSE(policies_.AnyOf(6));
  policies_.Remove(entry);
  EXPECT_EQ(Out(sent_), nullptr);
  EXPECT_TRUE(policies_.Empty());
  EXPECT_FALSE(policies_.AnyOf(17));
}

TEST_F(SocketPoliciesTest, WhereItIsBound) {
  SocketEnds ends = At(5500, "192.0.2.1");
  ends.ifindex = 3;
  Give(ends, kOut);
  EXPECT_NE(Out(sent_, 3), nullptr);
  EXPECT_EQ(Out(sent_, 4), nullptr);
  EXPECT_EQ(Out(Udp("192.0.2.7", 5500, "192.0.2.2", 9), 3), nullptr);
}

TEST_F(SocketPoliciesTest, AConnectedOneGetsFromItsPeerAlone) {
  SocketEnds ends = At(5500);
  ends.remote = test::Ip("192.0.2.2");
  ends.remote_port = 9;
  Give(ends, kIn);
  EXPECT_NE(In(got_), nullptr);
  EXPECT_EQ(In(Udp("192.0.2.2", 10, "192.0.2.1", 5500)), nullptr);
  EXPECT_EQ(In(Udp("192.0.2.3", 9, "192.0.2.1", 5500)), nullptr);
}

TEST_F(SocketPoliciesTest, TheSelectorCountsToo) {
  Give(At(5500), kOut, PolicyAction::kAllow, "198.51.100.0/24");
  EXPECT_EQ(Out(sent_), nullptr);
  EXPECT_NE(Out(Udp("192.0.2.1", 5500, "198.51.100.7", 9)), nullptr);
}

TEST_F(SocketPoliciesTest, OfSeveralTheOneForTheAddressThenABlock) {
  Give(At(5500), kOut);
  const auto block = Give(At(5500), kOut, PolicyAction::kBlock);
  Give(At(5500), kOut);
  EXPECT_EQ(Out(sent_), block->policy.get());
  const auto own = Give(At(5500, "192.0.2.1"), kOut);
  EXPECT_EQ(Out(sent_), own->policy.get());
}

TEST_F(SocketPoliciesTest, FamiliesOfOneSocket) {
  SocketEnds ends = At(5500);
  ends.family = IpFamily::kV6;
  const auto entry = Give(ends, kOut);
  EXPECT_EQ(Out(sent_), nullptr);
  policies_.Remove(entry);
  ends.both_families = true;
  Give(ends, kOut);
  EXPECT_NE(Out(sent_), nullptr);
}

}  // namespace
}  // namespace cygnet
