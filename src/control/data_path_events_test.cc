// One turn's share of what workers report, and who handles it.
#include "control/data_path_events.h"

#include <gtest/gtest.h>

#include "support/sas_fixture.h"

namespace cygnet {
namespace {

using test::Events;
using Kind = DataPathEvent::Kind;

class DataPathEventsTest : public test::SasFixture {
 protected:
  void Report(const DataPathEvent& event, std::size_t worker = 0) {
    ASSERT_EQ(path_.events[worker]->Push({&event, 1}), 1u);
  }
  static DataPathEvent ShortQuote(uint32_t mtu) {
    return {.kind = Kind::kShortQuote,
            .flow = {.saddr = test::Ip("192.0.2.1"),
                     .daddr = test::Ip("192.0.2.2"),
                     .sport = 4500,
                     .dport = 4500,
                     .family = IpFamily::kV4},
            .mtu = mtu};
  }
  Acquires acquires_{{.path = &path_,
                      .announcer = &announcer_,
                      .own_devices = &own_devices_,
                      .larval = &larval_,
                      .budget = &budget_,
                      .larval_seconds = [] { return 30u; }}};
  DataPathEvents events_{{.path = &path_,
                          .clock = &clock_,
                          .sas = &sas_,
                          .acquires = &acquires_,
                          .mappings = &mappings_}};
};

TEST_F(DataPathEventsTest, OneTurnLeavesAcquiresOfAFloodForTheNext) {
  for (int i = 0; i < 65; ++i) Report({.kind = Kind::kAcquire, .policy_number = 999});
  Report({.kind = Kind::kHardLimit, .sa_number = 999}, 1);
  events_.TakeSome();
  EXPECT_TRUE(events_.left());
  EXPECT_FALSE(path_.events[1]->Empty()) << "the flood has used up the turn";
  events_.TakeSome();  // begins with the other worker
  EXPECT_FALSE(events_.left());
  EXPECT_TRUE(path_.events[0]->Empty());
  EXPECT_TRUE(path_.events[1]->Empty());
}

TEST_F(DataPathEventsTest, OneWorkerHasAShareOfTheTurn) {
  for (int i = 0; i < 257; ++i) Report({.kind = Kind::kSoftLimit, .sa_number = 999});
  events_.TakeSome();
  EXPECT_TRUE(events_.left());
  EXPECT_FALSE(path_.events[0]->Empty());
  events_.TakeSome();
  EXPECT_FALSE(events_.left());
}

TEST_F(DataPathEventsTest, LimitsEndTheSaOnce) {
  const auto sa = Add({});
  recorder_.Take();
  Report({.kind = Kind::kSoftLimit, .sa_number = sa->number});
  Report({.kind = Kind::kSoftLimit, .sa_number = sa->number}, 1);
  Report({.kind = Kind::kHardLimit, .sa_number = sa->number}, 1);
  Report({.kind = Kind::kHardLimit, .sa_number = sa->number}, 1);
  events_.TakeSome();
  EXPECT_EQ(recorder_.Take(), (Events{"sa-expired soft", "sa-expired hard"}));
  EXPECT_EQ(path_.sad.size(), 0u);
}

TEST_F(DataPathEventsTest, ShortQuoteConcernsTheSasOfItsPortsAtALimitedRate) {
  const auto encap = Add({.spi = 0x100, .encap = test::NatT()});
  const auto plain = Add({.spi = 0x101});
  Report(ShortQuote(1400));
  events_.TakeSome();
  EXPECT_EQ(encap->outbound()->path_mtu.load(), 1400u);
  EXPECT_EQ(plain->outbound()->path_mtu.load(), 0u);
  Report(ShortQuote(1300));
  events_.TakeSome();
  EXPECT_EQ(encap->outbound()->path_mtu.load(), 1400u) << "too soon";
  clock_.monotonic_ns += 100'000'000;
  Report(ShortQuote(1300));
  events_.TakeSome();
  EXPECT_EQ(encap->outbound()->path_mtu.load(), 1300u);
}

}  // namespace
}  // namespace cygnet
