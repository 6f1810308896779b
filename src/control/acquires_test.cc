// Which ACQUIRE goes out; the larval state's life is in acquire_test.cc.
#include "control/acquires.h"

#include <gtest/gtest.h>

#include "support/sas_fixture.h"

namespace cygnet {
namespace {

using test::Events;
using test::Ip;
using test::MakePolicy;
using test::SaOptions;
using test::TemplateFor;

class AcquiresTest : public test::SasFixture {
 protected:
  DataPathEvent Traffic(std::vector<Template> templates) {
    const auto policy = path_.spd.Insert(
        MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", std::move(templates)),
        clock_.WallSeconds());
    return {.policy_number = policy->number,
            .flow = {.saddr = Ip("10.1.0.1"), .daddr = Ip("10.2.0.1"), .family = IpFamily::kV4}};
  }
  std::optional<EgressRoute> route_;
  Acquires acquires_{{.path = &path_,
                      .announcer = &announcer_,
                      .own_devices = &own_devices_,
                      .larval = &larval_,
                      .budget = &budget_,
                      .route = [this](const IpAddress&, IpFamily) { return route_; },
                      .larval_seconds = [] { return 30u; }}};
};

TEST_F(AcquiresTest, SecondSaWaitsForTheFirst) {
  const SaOptions inner{.src = "198.51.100.1", .dst = "198.51.100.2", .spi = 0x2000, .reqid = 2};
  const DataPathEvent event = Traffic({TemplateFor(inner), TemplateFor(SaOptions{})});
  acquires_.OnTraffic(event);
  acquires_.OnTraffic(event);
  EXPECT_EQ(recorder_.Take(), Events{"acquire 1"}) << "the inner one alone";
  ASSERT_NE(Add(inner), nullptr);
  recorder_.Take();
  acquires_.OnTraffic(event);
  EXPECT_EQ(recorder_.Take(), Events{"acquire 2"});
}

TEST_F(AcquiresTest, OpenLocalEndIsWhereTheHostSendsFrom) {
  SaOptions tunnel;
  Template open = TemplateFor(tunnel);
  open.saddr = {};
  route_ = EgressRoute{.ifindex = test::kNic0, .gateway = {}, .source = Ip("192.0.2.77")};
  acquires_.OnTraffic(Traffic({open}));
  ASSERT_EQ(path_.sad.size(), 1u);
  const SaSpec& spec = path_.sad.List()[0]->spec();
  EXPECT_EQ(spec.saddr, Ip("192.0.2.77"));
  EXPECT_EQ(spec.selector->ifindex, test::kNic0);
  EXPECT_EQ(spec.limits->hard_add_seconds, 30u);
}

TEST_F(AcquiresTest, NobodyListensSoNothingIsMade) {
  recorder_.listening = false;
  acquires_.OnTraffic(Traffic({TemplateFor(SaOptions{})}));
  EXPECT_EQ(path_.sad.size(), 0u);
}

TEST_F(AcquiresTest, BudgetOfThePolicyIsTheEnd) {
  const DataPathEvent event = Traffic({TemplateFor(SaOptions{})});
  for (uint64_t i = 0; i < kLimits.per_policy; ++i) budget_.Add(1000 + i, event.policy_number);
  acquires_.OnTraffic(event);
  EXPECT_EQ(recorder_.Take(), Events{});
  EXPECT_EQ(budget_.refused(), 1u);
}

TEST_F(AcquiresTest, ClientsRequestAsksForEveryTemplateAndMakesNoState) {
  AcquireRequest request;
  request.policy.templates = {TemplateFor(SaOptions{}), TemplateFor(SaOptions{})};
  acquires_.Request(std::move(request));
  EXPECT_EQ(recorder_.Take(), (Events{"asked", "asked"}));
  EXPECT_EQ(path_.sad.size(), 0u);
}

}  // namespace
}  // namespace cygnet
