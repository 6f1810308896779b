// Policies with packet offload: what devices hold of them, and when.
#include "control/device_policies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "support/packet_offload_fixture.h"

namespace cygnet {
namespace {

using test::Events;
using test::kNic0;
using test::MakePolicy;
using test::MakeSpec;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class DevicePoliciesTest : public test::PacketOffloadTest {
 protected:
  using PacketOffloadTest::PacketOffloadTest;
};

// --- Requests of clients ---

TEST_F(DevicePoliciesTest, TheDeviceHasThePolicyBeforeItIsInForce) {
  std::size_t in_force = 99;
  card_.on_add_policy = [&](const PolicySpec&) {
    in_force = path_.spd.size(PolicyDirection::kOut);
  };
  ASSERT_TRUE(Add(Offloaded(PolicyTo(2))).has_value());
  EXPECT_EQ(in_force, 0u);
  ASSERT_EQ(Held(), "2");
  EXPECT_EQ(card_.policies[0].spec.templates, PolicyTo(2).templates);
  EXPECT_EQ(control_->GetPolicy(IdOf(PolicyTo(2)))->spec.offload, Request());
  EXPECT_EQ(control_->ListPolicies()[0].spec.offload, Request());
  ASSERT_TRUE(Add(Offloaded(PolicyTo(3, PolicyDirection::kIn))).has_value());
  EXPECT_EQ(Held(), "2 3");
  EXPECT_EQ(control_->GetPolicy(IdOf(PolicyTo(3, PolicyDirection::kIn)))->spec.offload,
            Request(/*inbound=*/true));
  ASSERT_TRUE(Add(PolicyTo(4)).has_value());
  EXPECT_EQ(Held(), "2 3") << "not requested, and no SA needs it there";
}

TEST_F(DevicePoliciesTest, WhatTheDeviceRefusesIsNotStored) {
  card_.refuse_policy = DeviceRefusal{InstallError::kRefused, Errc::kInvalid,
                                      "mlx5_core: Cannot offload non-main policy types"};
  const Status refused = Add(Offloaded(PolicyTo(2)));
  EXPECT_EQ(refused.error().code, Errc::kInvalid);
  EXPECT_EQ(TextOf(refused), "mlx5_core: Cannot offload non-main policy types");
  card_.refuse_policy = DeviceRefusal{InstallError::kRefused, Errc::kBusy, ""};
  const Status busy = control_->UpdatePolicy(Offloaded(PolicyTo(2)), {});
  EXPECT_EQ(busy.error().code, Errc::kBusy);
  EXPECT_EQ(TextOf(busy), "Device failed to offload this policy");
  EXPECT_THAT(control_->ListPolicies(), IsEmpty());
  EXPECT_EQ(recorder_.Take(), Events{});
}

// As xfrm_dev_policy_add answers before it asks the driver, and as drivers answer for forward.
TEST_F(DevicePoliciesTest, RefusesAsTheKernelDoes) {
  const auto expect = [&](const PolicySpec& spec, Errc code, const std::string& text) {
    const Status status = Add(spec);
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code, code);
    EXPECT_EQ(status.error().message, text);
  };
  expect(Offloaded(PolicyTo(2), 99), Errc::kInvalid, "Policy offload is not supported");
  expect(Offloaded(PolicyTo(2, PolicyDirection::kForward)), Errc::kInvalid,
         "sim_nic: Cannot offload forward policy");
  ASSERT_TRUE(control_->SetOffloadEnabled("nic0", false).has_value());
  const Status disabled = Add(Offloaded(PolicyTo(2)));
  EXPECT_EQ(disabled.error().code, Errc::kNotSupported);
  EXPECT_THAT(TextOf(disabled), HasSubstr("packet offload: operator-disabled"));
  EXPECT_THAT(card_.policies, IsEmpty());
}

class PacketNotAllowedTest : public test::PacketOffloadTest {
 protected:
  PacketNotAllowedTest()
      : PacketOffloadTest(
            [](ControlPlaneParams* params) { params->devices[0].terms.allow_packet = false; }) {}
};

TEST_F(PacketNotAllowedTest, ADeviceThatMayNotDoPacketOffloadDoesNotSupportIt) {
  EXPECT_EQ(TextOf(Add(Offloaded(PolicyTo(2)))), "Policy offload is not supported");
}

// The kernel asks the device before it looks for the policy.
TEST_F(DevicePoliciesTest, ADuplicateLeavesTheDeviceAsItWas) {
  ASSERT_TRUE(Add(Offloaded(PolicyTo(2))).has_value());
  EXPECT_EQ(Add(Offloaded(PolicyTo(2))).error().code, Errc::kExists);
  EXPECT_EQ(Held(), "2");
  card_.refuse_policy = DeviceRefusal{};
  EXPECT_EQ(Add(Offloaded(PolicyTo(2))).error().code, Errc::kNotSupported);
}

TEST_F(DevicePoliciesTest, ARemovedPolicyStaysInTheDeviceForPacketsThatItDecided) {
  for (const int n : {2, 3, 4, 5}) ASSERT_TRUE(Add(Offloaded(PolicyTo(n))).has_value());
  ASSERT_TRUE(control_->DeletePolicy(IdOf(PolicyTo(2)), {}).has_value());
  EXPECT_EQ(Held(), "2 3 4 5");
  Settle();
  EXPECT_EQ(Held(), "3 4 5");
  ASSERT_TRUE(control_->ExpirePolicy(IdOf(PolicyTo(3)), /*hard=*/true).has_value());
  Settle();
  EXPECT_EQ(Held(), "4 5");
  PolicySpec brief = Offloaded(PolicyTo(4));
  brief.limits.Change()->hard_add_seconds = 5;
  ASSERT_TRUE(control_->UpdatePolicy(brief, {}).has_value());
  Pass(6);
  Settle();
  EXPECT_EQ(Held(), "5");
  ASSERT_TRUE(control_->FlushPolicies(PolicyType::kMain, {}).has_value());
  Settle();
  EXPECT_EQ(Held(), "");
}

TEST_F(DevicePoliciesTest, AnUpdateReplacesThePolicyWithoutAGap) {
  ASSERT_TRUE(Add(Offloaded(PolicyTo(2))).has_value());
  PolicySpec next = Offloaded(PolicyTo(2));
  next.templates[0].reqid = Reqid(9);
  ASSERT_TRUE(control_->UpdatePolicy(next, {}).has_value());
  EXPECT_EQ(Held(), "2 2");
  Settle();
  ASSERT_EQ(Held(), "2");
  EXPECT_EQ(card_.policies[0].spec.templates[0].reqid, Reqid(9));
  // Offload comes and goes with updates.
  ASSERT_TRUE(control_->UpdatePolicy(PolicyTo(2), {}).has_value());
  Settle();
  EXPECT_EQ(Held(), "");
  ASSERT_TRUE(control_->UpdatePolicy(next, {}).has_value());
  EXPECT_EQ(Held(), "2");
}

TEST_F(DevicePoliciesTest, ARefusedUpdateKeepsWhatWasThere) {
  ASSERT_TRUE(Add(Offloaded(PolicyTo(2))).has_value());
  card_.policy_limit = 1;
  PolicySpec next = Offloaded(PolicyTo(2));
  next.templates[0].reqid = Reqid(9);
  const Status full = control_->UpdatePolicy(next, {});
  EXPECT_EQ(full.error().code, Errc::kNoSpace);
  EXPECT_EQ(control_->GetPolicy(IdOf(next))->spec.templates[0].reqid, Reqid(1));
  ASSERT_EQ(Held(), "2");
  EXPECT_EQ(card_.policies[0].spec.templates[0].reqid, Reqid(1));
}

// --- Order ---

FlowKey FlowOf(const char* src, const char* dst) {
  return {.saddr = test::Ip(src), .daddr = test::Ip(dst), .family = IpFamily::kV4};
}

// An update keeps the turn of a policy among its peers. The device would put it last.
TEST_F(DevicePoliciesTest, TheDeviceKeepsTheOrderOfTheSpd) {
  const auto add = [&](const char* dst, uint32_t reqid, bool update = false) {
    PolicySpec spec = Offloaded(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", dst,
                                           {test::TemplateFor({.reqid = reqid})}));
    ASSERT_TRUE((update ? control_->UpdatePolicy(spec, {}) : Add(spec)).has_value());
  };
  add("10.0.0.0/16", 1);
  add("10.0.1.0/24", 2);
  add("10.0.0.0/24", 3);
  add("10.9.0.0/16", 4);
  add("10.0.0.0/16", 5, /*update=*/true);
  Settle();
  const FlowKey flow = FlowOf("10.1.0.1", "10.0.1.1");
  ASSERT_EQ(path_.spd.Lookup(PolicyDirection::kOut, flow, 0).first->spec.templates[0].reqid,
            Reqid(5));
  EXPECT_EQ(card_.Lookup(PolicyDirection::kOut, flow)->templates[0].reqid, Reqid(5));
  EXPECT_EQ(card_.policies.size(), 4u);
  // Without room for the copies that the order needs, the device gets nothing new.
  card_.policy_limit = 5;
  PolicySpec next = Offloaded(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.0.0.0/16"));
  EXPECT_EQ(control_->UpdatePolicy(next, {}).error().code, Errc::kNoSpace);
  EXPECT_EQ(card_.policies.size(), 4u);
  EXPECT_EQ(card_.Lookup(PolicyDirection::kOut, flow)->templates[0].reqid, Reqid(5));
}

// Policies come, change and go in any order; the device resets, refuses and lacks room. Afterwards
// it chooses as the SPD does, for every flow.
TEST_F(DevicePoliciesTest, AfterAnyChangesDeviceAndSpdChooseTheSame) {
  std::mt19937 random(15);
  const auto pick = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  const std::vector<std::string> networks = {"10.0.0.0/8",  "10.2.0.0/16", "10.2.3.0/24",
                                             "10.2.3.4/32", "10.4.0.0/16", "0.0.0.0/0"};
  const std::vector<const char*> hosts = {"10.2.3.4", "10.2.3.5", "10.2.9.9", "10.4.0.1",
                                          "11.0.0.1"};
  const auto check = [&](int step) {
    for (const char* src : hosts) {
      for (const char* dst : hosts) {
        const FlowKey flow = FlowOf(src, dst);
        const PolicyMatch match = path_.spd.Lookup(PolicyDirection::kOut, flow, 0);
        const PolicySpec* held = card_.Lookup(PolicyDirection::kOut, flow);
        ASSERT_EQ(match.any(), held != nullptr) << step << ' ' << src << ' ' << dst;
        if (held == nullptr) continue;
        ASSERT_EQ(match.first->spec.templates[0].reqid, held->templates[0].reqid)
            << step << ' ' << src << ' ' << dst;
      }
    }
  };
  uint32_t reqid = 0;
  int refused = 0;
  for (int step = 0; step < 3000; ++step) {
    PolicySpec spec =
        Offloaded(MakePolicy(PolicyDirection::kOut, networks[pick(6)], networks[pick(6)],
                             {test::TemplateFor({.reqid = ++reqid})}, PolicyAction::kAllow,
                             /*priority=*/1 + pick(2)));
    if (pick(3) == 0) {
      (void)control_->DeletePolicy(IdOf(spec), {});
    } else {
      card_.policy_limit = pick(4) == 0 ? card_.policies.size() + pick(3) : 1000;
      const Status added =
          pick(2) == 0 ? control_->UpdatePolicy(spec, {}) : control_->AddPolicy(spec, {});
      if (!added.has_value() && added.error().code == Errc::kNoSpace) ++refused;
      card_.policy_limit = 1000;
    }
    if (pick(50) == 0) card_.Reset();
    if (pick(3) != 0) continue;
    Settle();
    Pass(1);
    Settle();
    ASSERT_EQ(card_.policies.size(), path_.spd.size(PolicyDirection::kOut)) << step;
    check(step);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(refused, 100);
}

TEST(MayOverlapTest, IsFalseOnlyIfNoFlowMatchesBoth) {
  const Selector a = test::MakeSelector("10.1.0.0/16", "10.2.0.0/16", 17);
  const auto differs = [&](auto edit) {
    Selector b = a;
    edit(&b);
    EXPECT_EQ(MayOverlap(a, b), MayOverlap(b, a));
    return !MayOverlap(a, b);
  };
  EXPECT_FALSE(differs([](Selector* s) { s->prefixlen_s = 8; }));
  EXPECT_FALSE(differs([](Selector* s) { s->proto = 0; }));
  EXPECT_TRUE(differs([](Selector* s) { s->proto = 6; }));
  EXPECT_TRUE(differs([](Selector* s) { s->daddr = test::Ip("10.3.0.0"); }));
  EXPECT_TRUE(differs([](Selector* s) { s->family = IpFamily::kV6; }));
  Selector port = a;
  port.dport = 53;
  port.dport_mask = 0xffff;
  EXPECT_TRUE(MayOverlap(a, port));
  Selector other = port;
  other.dport = 54;
  EXPECT_FALSE(MayOverlap(port, other));
  other.dport_mask = 0xff00;
  EXPECT_TRUE(MayOverlap(port, other));
}

// --- Devices that fail ---

TEST_F(DevicePoliciesTest, AfterAResetTheDeviceGetsThemBackBeforeItsSas) {
  for (const int n : {2, 3}) ASSERT_TRUE(Add(Offloaded(PolicyTo(n))).has_value());
  ASSERT_TRUE(Add(PacketSa(0x100)).has_value());
  card_.order.clear();
  card_.Reset();
  control_->OnBell();
  EXPECT_THAT(card_.order, ElementsAre("policy 10.2.0.0", "policy 10.3.0.0", "sa 256"));
  EXPECT_EQ(Held(), "2 3");
  ASSERT_TRUE(control_->DeletePolicy(IdOf(PolicyTo(2)), {}).has_value());
  Settle();
  EXPECT_EQ(Held(), "3");
}

TEST_F(DevicePoliciesTest, WhatADeviceDoesNotTakeBackIsOfferedAgain) {
  for (const int n : {2, 3}) ASSERT_TRUE(Add(Offloaded(PolicyTo(n))).has_value());
  const auto policy = path_.spd.Find(IdOf(PolicyTo(3)));
  card_.Become(DeviceState::kDown);
  control_->OnBell();
  card_.Reset();
  control_->OnBell();
  EXPECT_EQ(Held(), "") << "a device that is down gets nothing";
  EXPECT_EQ(control_->ListPolicies().size(), 2u) << "they stay in force";
  card_.policy_limit = 1;
  card_.Become(DeviceState::kUp);
  control_->OnBell();
  EXPECT_EQ(Held(), "2");
  card_.policy_limit = 1000;
  Pass(1);
  EXPECT_EQ(Held(), "2 3");
}

class PacketLossTest : public test::PacketOffloadTest {
 protected:
  PacketLossTest()
      : PacketOffloadTest([](ControlPlaneParams* params) {
          params->devices[0].terms.loss = DeviceLoss::kKernel;
        }) {}
};

TEST_F(PacketLossTest, PoliciesGoWithTheDeviceAndNobodyIsTold) {
  ASSERT_TRUE(Add(Offloaded(PolicyTo(2))).has_value());
  ASSERT_TRUE(Add(PolicyTo(3)).has_value());
  recorder_.Take();
  card_.Become(DeviceState::kRemoved);
  control_->OnBell();
  ASSERT_EQ(control_->ListPolicies().size(), 1u);
  EXPECT_FALSE(control_->ListPolicies()[0].spec.offload.has_value());
  EXPECT_EQ(recorder_.Take(), Events{});
}

// --- SAs that a rule placed in packet mode ---

class PacketRuleTest : public test::PacketOffloadTest {
 protected:
  PacketRuleTest()
      : PacketOffloadTest([](ControlPlaneParams* params) {
          params->rules.push_back(
              {.name = "all", .mode = PlacementMode::kPacket, .ifindex = kNic0});
        }) {}
  static PolicySpec For(int network, uint32_t reqid) {
    PolicySpec spec = PolicyTo(network);
    spec.templates[0].reqid = Reqid(reqid);
    return spec;
  }
};

TEST_F(PacketRuleTest, TheDeviceGetsThePoliciesThatTheSaServes) {
  ASSERT_TRUE(Add(For(2, 1)).has_value());
  ASSERT_TRUE(Add(For(3, 2)).has_value());
  EXPECT_EQ(Held(), "");
  ASSERT_TRUE(Add(MakeSpec({.spi = 0x100, .direction = SaDirection::kOut})).has_value());
  EXPECT_EQ(Held(), "2");
  ASSERT_TRUE(Add(For(4, 1)).has_value()) << "after the SA";
  EXPECT_EQ(Held(), "2 4");
  PolicySpec in = PolicyTo(5, PolicyDirection::kIn);
  ASSERT_TRUE(Add(in).has_value());
  PolicySpec pass = For(6, 1);
  pass.templates.clear();
  ASSERT_TRUE(Add(pass).has_value());
  EXPECT_EQ(Held(), "2 4");
  // A rekey: two SAs need them, then one.
  ASSERT_TRUE(Add(MakeSpec({.spi = 0x101, .direction = SaDirection::kOut})).has_value());
  ASSERT_TRUE(control_->DeleteSa(IdOf(0x100), {}).has_value());
  Settle();
  EXPECT_EQ(Held(), "2 4");
  ASSERT_TRUE(control_->DeletePolicy(IdOf(For(4, 1)), {}).has_value());
  Settle();
  EXPECT_EQ(Held(), "2");
  ASSERT_TRUE(control_->DeleteSa(IdOf(0x101), {}).has_value());
  Settle();
  EXPECT_EQ(Held(), "");
}

TEST_F(PacketRuleTest, TheDeviceHasThePolicyBeforeItIsInForceHereToo) {
  ASSERT_TRUE(Add(MakeSpec({.spi = 0x100, .direction = SaDirection::kOut})).has_value());
  ASSERT_TRUE(Add(MakeSpec({.spi = 0x101, .direction = SaDirection::kOut})).has_value());
  std::size_t in_force = 99;
  card_.on_add_policy = [&](const PolicySpec&) {
    in_force = path_.spd.size(PolicyDirection::kOut);
  };
  ASSERT_TRUE(Add(For(2, 1)).has_value());
  EXPECT_EQ(in_force, 0u);
  EXPECT_EQ(Add(For(2, 1)).error().code, Errc::kExists);
  Settle();
  EXPECT_EQ(Held(), "2") << "once for both";
  for (const uint32_t spi : {0x100u, 0x101u}) {
    ASSERT_TRUE(control_->DeleteSa(IdOf(spi), {}).has_value());
    Settle();
    EXPECT_EQ(Held(), spi == 0x100 ? "2" : "");
  }
}

TEST_F(PacketRuleTest, AnSaThatLeavesTheDeviceTakesThemAway) {
  ASSERT_TRUE(Add(For(2, 1)).has_value());
  ASSERT_TRUE(Add(MakeSpec({.spi = 0x100, .direction = SaDirection::kOut})).has_value());
  ASSERT_EQ(Held(), "2");
  ASSERT_TRUE(control_->SetPlacement({.reqid = Reqid(1), .mode = PlacementMode::kNo}).has_value());
  Settle();
  EXPECT_EQ(Held(), "");
  ASSERT_TRUE(control_->SetPlacement({.reqid = Reqid(1), .clear = true}).has_value());
  Settle();
  EXPECT_EQ(Held(), "2");
}

TEST_F(PacketRuleTest, TheClientIsNotAtFaultIfTheDeviceRefuses) {
  ASSERT_TRUE(Add(MakeSpec({.spi = 0x100, .direction = SaDirection::kOut})).has_value());
  card_.policy_limit = 0;
  ASSERT_TRUE(Add(For(2, 1)).has_value());
  EXPECT_EQ(Held(), "");
  card_.policy_limit = 1000;
  Pass(1);
  EXPECT_EQ(Held(), "2") << "offered again";
}

TEST(FitsForDeviceTest, ComparesWhatTheLookUpOfTheSaCompares) {
  const PolicySpec policy =
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {test::TemplateFor({})});
  EXPECT_TRUE(FitsForDevice(policy, MakeSpec()));
  EXPECT_FALSE(FitsForDevice(policy, MakeSpec({.dst = "192.0.2.9"})));
  EXPECT_FALSE(FitsForDevice(policy, MakeSpec({.src = "192.0.2.9"})));
  EXPECT_FALSE(FitsForDevice(policy, MakeSpec({.mode = SaMode::kTransport})));
  EXPECT_FALSE(FitsForDevice(policy, MakeSpec({.reqid = 2})));
  PolicySpec two = policy;
  two.templates.push_back(two.templates[0]);
  EXPECT_FALSE(FitsForDevice(two, MakeSpec())) << "a chain is never in packet mode";
  PolicySpec spi = policy;
  spi.templates[0].spi = Spi(0x77);
  EXPECT_FALSE(FitsForDevice(spi, MakeSpec()));
  PolicySpec offloaded = policy;
  offloaded.offload = OffloadRequest{OffloadMode::kPacket, kNic0, false};
  EXPECT_FALSE(FitsForDevice(offloaded, MakeSpec())) << "it finds no SA that did not request it";
}

}  // namespace
}  // namespace cygnet
