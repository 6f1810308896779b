// policy_index_test.cc compares it with a walk, for random policies.
#include "policy/few_policies.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MakePolicy;
using enum PolicyDirection;

constexpr int32_t kInterface = 3;

// Policies in order, and the list of them.
class Few {
 public:
  explicit Few(const std::vector<PolicySpec>& specs, bool with_ports = true) {
    for (const PolicySpec& spec : specs) {
      policies_.push_back(NewPolicy());
      policies_.back()->spec = spec;
    }
    std::vector<Policy*> in_order;
    for (const auto& policy : policies_) in_order.push_back(policy.get());
    list_ = std::make_unique<FewPolicies>(in_order, with_ports);
  }
  // The number of the first that matches; -1: none.
  int Find(const FlowKey& flow, int32_t ifindex = kInterface) const {
    const Policy* found = list_->Find(flow, ifindex);
    for (std::size_t i = 0; i < policies_.size(); ++i) {
      if (policies_[i].get() == found) return static_cast<int>(i);
    }
    EXPECT_EQ(found, nullptr);
    return -1;
  }

 private:
  std::vector<std::shared_ptr<Policy>> policies_;
  std::unique_ptr<FewPolicies> list_;
};

FlowKey Flow() {
  FlowKey flow;
  flow.saddr = test::Ip("10.1.0.1");
  flow.daddr = test::Ip("10.2.0.1");
  flow.sport = 1000;
  flow.dport = 443;
  flow.family = IpFamily::kV4;
  flow.proto = kProtoUdp;
  return flow;
}

PolicySpec Any() { return MakePolicy(kOut, "0.0.0.0/0", "0.0.0.0/0"); }

TEST(FewPoliciesTest, FindsTheFirstWhateverTheirNumber) {
  for (std::size_t n = 0; n <= FewPolicies::kMost; ++n) {
    EXPECT_EQ(Few(std::vector(n, Any())).Find(Flow()), n == 0 ? -1 : 0);
    std::vector<PolicySpec> specs(n, MakePolicy(kOut, "10.1.0.0/16", "10.3.0.0/16"));
    EXPECT_EQ(Few(specs).Find(Flow()), -1) << n;
    for (std::size_t at = 0; at < n; ++at) {
      std::vector<PolicySpec> one = specs;
      one[at] = Any();
      EXPECT_EQ(Few(one).Find(Flow()), static_cast<int>(at)) << n;
    }
  }
}

// A selector with everything matches its flow, and no flow that differs in one field.
TEST(FewPoliciesTest, ComparesEachField) {
  PolicySpec spec = MakePolicy(kOut, "10.1.0.0/24", "10.2.0.0/31");
  spec.selector.sport = 1000;
  spec.selector.sport_mask = 0xffff;
  spec.selector.dport = 443;
  spec.selector.dport_mask = 0xfff0;
  spec.selector.proto = kProtoUdp;
  const Few few({spec});
  EXPECT_EQ(few.Find(Flow()), 0);
  const auto without = [&](const std::function<void(FlowKey*)>& change) {
    FlowKey flow = Flow();
    change(&flow);
    return few.Find(flow);
  };
  EXPECT_EQ(without([](FlowKey* f) { f->saddr = test::Ip("10.1.0.255"); }), 0);
  EXPECT_EQ(without([](FlowKey* f) { f->saddr = test::Ip("10.1.1.1"); }), -1);
  EXPECT_EQ(without([](FlowKey* f) { f->daddr = test::Ip("10.2.0.0"); }), 0);
  EXPECT_EQ(without([](FlowKey* f) { f->daddr = test::Ip("10.2.0.2"); }), -1);
  EXPECT_EQ(without([](FlowKey* f) { f->sport = 1001; }), -1);
  EXPECT_EQ(without([](FlowKey* f) { f->dport = 447; }), 0);
  EXPECT_EQ(without([](FlowKey* f) { f->dport = 459; }), -1);
  EXPECT_EQ(without([](FlowKey* f) { f->proto = kProtoTcp; }), -1);
  EXPECT_EQ(without([](FlowKey* f) { f->mark = 7; }), 0);  // of no tunnel that a policy is for
  EXPECT_EQ(without([](FlowKey* f) { f->if_id = 7; }), -1);
}

TEST(FewPoliciesTest, ComparesInterfaceAndTunnel) {
  PolicySpec of_interface = Any();
  of_interface.selector.ifindex = kInterface;
  EXPECT_EQ(Few({of_interface}).Find(Flow(), kInterface), 0);
  EXPECT_EQ(Few({of_interface}).Find(Flow(), kInterface + 1), -1);
  PolicySpec of_tunnel = Any();
  of_tunnel.if_id = 9;
  of_tunnel.mark_value = 0x20;
  of_tunnel.mark_mask = 0xf0;
  const Few few({of_tunnel, of_interface});
  FlowKey flow = Flow();
  EXPECT_EQ(few.Find(flow), 1);
  flow.SetTunnel(9, 0x2f);
  EXPECT_EQ(few.Find(flow), 0);
  for (const auto& [if_id, mark] : {std::pair(9u, 0x3fu), {9u, 0u}, {8u, 0x2fu}}) {
    flow.SetTunnel(if_id, mark);
    EXPECT_EQ(few.Find(flow), -1) << if_id << " " << mark;
  }
  // A value that no mark can have under the mask matches none.
  of_tunnel.mark_value = 0x21;
  flow.SetTunnel(9, 0x21);
  EXPECT_EQ(Few({of_tunnel}).Find(flow), -1);
  // Without its tunnel it is for all packets, which do not show theirs.
  of_tunnel.unmet = true;
  EXPECT_EQ(Few({of_tunnel}).Find(Flow()), 0);
}

TEST(FewPoliciesTest, WithoutPortsTheOtherFieldsCount) {
  PolicySpec spec = MakePolicy(kOut, "10.1.0.0/16", "10.2.0.0/16");
  spec.selector.dport = 80;
  spec.selector.dport_mask = 0xffff;
  spec.selector.proto = kProtoUdp;
  EXPECT_EQ(Few({spec}).Find(Flow()), -1);
  EXPECT_EQ(Few({spec}, false).Find(Flow()), 0);
  spec.selector.proto = kProtoTcp;
  EXPECT_EQ(Few({spec}, false).Find(Flow()), -1);
}

}  // namespace
}  // namespace cygnet
