#include "daemon/xfrm_server/lost_sa_schedule.h"

#include <gtest/gtest.h>

#include "support/fake_xfrm_control.h"
#include "xfrm/event_message.h"

namespace cygnet {
namespace {

using Ms = LostSaSchedule::Milliseconds;

IpAddress Ip(const std::string& text) { return ParseAddress(text)->address; }

class LostSaScheduleTest : public testing::Test {
 protected:
  static SaSpec Spec(const std::string& src, const std::string& dst, uint32_t spi, uint32_t reqid) {
    SaSpec spec;
    spec.family = IpFamily::kV4;
    spec.saddr = Ip(src);
    spec.daddr = Ip(dst);
    spec.spi = Spi(spi);
    spec.proto = 50;
    spec.reqid = Reqid(reqid);
    return spec;
  }
  // Both SAs of a tunnel of the previous daemon.
  void Lose(const std::string& peer, uint32_t reqid) {
    test::FakeXfrmControl before;
    for (const bool out : {true, false}) {
      ASSERT_TRUE(
          before.AddSa(Spec(out ? kOwn : peer, out ? peer : kOwn, reqid * 2 + out, reqid), {}));
    }
    for (const auto& sa : before.ListSas()) {
      const SaView view = before.Inspect(*sa);
      lost_.push_back({.id = {.daddr = view.spec->daddr,
                              .spi = view.spec->spi,
                              .proto = 50,
                              .family = IpFamily::kV4},
                       .expiry = xfrm::EncodeSaExpired(view, false, 0)});
    }
  }
  LostSaSchedule Make() {
    return LostSaSchedule(std::move(lost_), [](const IpAddress& address, IpFamily family) {
      return family == IpFamily::kV4 && address == Ip(kOwn);
    });
  }

  static constexpr const char* kOwn = "192.0.2.10";
  std::vector<LostSa> lost_;
  test::FakeXfrmControl control_;
};

TEST_F(LostSaScheduleTest, LowerEndBeginsAndTheOtherFollows) {
  Lose("192.0.2.20", 1);  // we are the lower end
  Lose("192.0.2.5", 2);   // the peer is
  const LostSaSchedule lost = Make();
  std::vector<bool> told;
  EXPECT_EQ(lost.Due(LostSaSchedule::kApart, control_, &told).size(), 2u);
  EXPECT_EQ(lost.Due(LostSaSchedule::kOtherEnd - Ms(1), control_, &told).size(), 0u);
  EXPECT_EQ(lost.Due(LostSaSchedule::kLongest, control_, &told).size(), 2u);
  EXPECT_EQ(lost.Due(LostSaSchedule::kLongest, control_, &told).size(), 0u);
}

TEST_F(LostSaScheduleTest, OneTunnelAfterTheOther) {
  for (uint32_t i = 0; i < 300; ++i) Lose("192.0.2." + std::to_string(20 + i % 200), 1 + i);
  const LostSaSchedule lost = Make();
  std::vector<bool> told;
  EXPECT_EQ(lost.Due(Ms(0), control_, &told).size(), 2u);
  EXPECT_EQ(lost.Due(LostSaSchedule::kSpread / 2, control_, &told).size(), 300u);
  EXPECT_EQ(lost.Due(LostSaSchedule::kSpread, control_, &told).size(), 298u);
}

TEST_F(LostSaScheduleTest, WhatTheOtherEndReplacedIsNotTold) {
  Lose("192.0.2.5", 2);
  Lose("192.0.2.6", 3);
  const LostSaSchedule lost = Make();
  ASSERT_TRUE(control_.AddSa(Spec(kOwn, "192.0.2.5", 0x999, 2), {}));
  std::vector<bool> told;
  EXPECT_EQ(lost.Due(LostSaSchedule::kLongest, control_, &told).size(), 2u) << "the other tunnel's";
}

TEST_F(LostSaScheduleTest, WhatIsThereAgainIsNotTold) {
  Lose("192.0.2.20", 0);
  const LostSaSchedule lost = Make();
  ASSERT_TRUE(control_.AddSa(Spec(kOwn, "192.0.2.20", 1, 0), {}));
  std::vector<bool> told;
  EXPECT_EQ(lost.Due(Ms(0), control_, &told).size(), 1u);
}

TEST_F(LostSaScheduleTest, OfBothEndsOneIsFirst) {
  Lose("192.0.2.20", 1);
  std::vector<LostSa> other = lost_;
  const LostSaSchedule here = Make();
  const LostSaSchedule there(std::move(other), [](const IpAddress& address, IpFamily) {
    return address == Ip("192.0.2.20");
  });
  std::vector<bool> told_here;
  std::vector<bool> told_there;
  EXPECT_EQ(here.Due(Ms(0), control_, &told_here).size(), 2u);
  EXPECT_EQ(there.Due(LostSaSchedule::kOtherEnd - Ms(1), control_, &told_there).size(), 0u);
}

TEST_F(LostSaScheduleTest, NothingLost) {
  const LostSaSchedule lost = Make();
  EXPECT_TRUE(lost.empty());
  std::vector<bool> told;
  EXPECT_TRUE(lost.Due(LostSaSchedule::kLongest, control_, &told).empty());
}

}  // namespace
}  // namespace cygnet
