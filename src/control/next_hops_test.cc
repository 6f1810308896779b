#include "control/next_hops.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/test_sa.h"

namespace cygnet {
namespace {

constexpr int32_t kNic0 = 7;
constexpr uint64_t kSecond = 1'000'000'000;

// A kernel whose routes and neighbours the tests set. Everything is behind one gateway.
class NextHopsTest : public testing::Test {
 protected:
  static IpAddress Peer(uint32_t n) { return test::Ip("192.0.2." + std::to_string(n)); }

  SaPtr Add(uint32_t peer) { return AddTo(Peer(peer)); }
  // Of many thousands.
  SaPtr AddAt(uint32_t number) {
    IpAddress far = test::Ip("10.128.0.0");
    far.bytes[2] = static_cast<uint8_t>(number >> 8);
    far.bytes[3] = static_cast<uint8_t>(number);
    return AddTo(far);
  }
  SaPtr AddTo(const IpAddress& far) {
    auto sa = AddUnanswered(far);
    hops_.AskNew(now_);
    return sa;
  }
  // Its client has no answer yet.
  SaPtr AddUnanswered(const IpAddress& far, uint64_t packets = 0) {
    const SaPtr sa = Make(far, packets);
    hops_.Follow(*sa, now_);
    return sa;
  }
  SaPtr AddRestored(uint32_t peer, uint64_t packets = 0) {
    const SaPtr sa = Make(Peer(peer), packets);
    hops_.FollowRestored(*sa, now_);
    return sa;
  }
  SaPtr Make(const IpAddress& far, uint64_t packets) {
    auto sa = MakeSharedSa(test::MakeSpec({.spi = next_spi_++}), uint64_t{1}, uint64_t{0});
    SaSpec spec = sa->spec().Clone();
    spec.daddr = far;
    sa = MakeSharedSa(std::move(spec), uint64_t{1}, uint64_t{0});
    sa->lifetime().AddUsage(packets, 100 * packets, 1);
    sas_.push_back(sa);
    return sa;
  }
  void NotifyOf(const IpAddress& address, std::optional<MacAddress> mac, int32_t ifindex = kNic0) {
    NeighbourChange change{
        .ifindex = ifindex, .address = address, .family = IpFamily::kV4, .hop = {}};
    if (mac.has_value()) change.hop = ResolvedHop{.ifindex = ifindex, .mac = *mac};
    hops_.OnNeighbour(change, now_);
  }
  static std::optional<MacAddress> HopOf(const Sa& sa) {
    MacAddress mac;
    uint8_t interface = 9;
    if (!sa.outbound()->next_hop.Get(&mac, &interface)) return std::nullopt;
    EXPECT_EQ(interface, 3);
    return mac;
  }

  static constexpr MacAddress kFirst{2, 0, 0, 0, 0, 1};
  static constexpr MacAddress kSecondMac{2, 0, 0, 0, 0, 2};
  uint64_t now_ = kSecond;
  uint32_t next_spi_ = 0x100;
  int firsts_ = 0;
  IpAddress gateway_ = test::Ip("198.51.100.1");
  std::optional<ResolvedHop> neighbour_ = ResolvedHop{.ifindex = kNic0, .mac = kFirst};
  std::vector<SaPtr> sas_;
  NextHops hops_{{.route = [this](const IpAddress&, IpFamily) -> std::optional<EgressRoute> {
                    return EgressRoute{.ifindex = kNic0, .gateway = gateway_, .source = {}};
                  },
                  .neighbour = [this](const EgressRoute&, IpFamily) { return neighbour_; },
                  .probe = [](int32_t, const IpAddress&, IpFamily) {},
                  .device_of = [](int32_t ifindex) -> std::optional<uint8_t> {
                    return ifindex == kNic0 ? std::optional<uint8_t>(3) : std::nullopt;
                  },
                  .on_first = [this] { ++firsts_; }}};
};

TEST_F(NextHopsTest, SasToOnePeerAskOnce) {
  for (int i = 0; i < 100; ++i) Add(1);
  EXPECT_EQ(hops_.done().routes_asked, 1u);
  EXPECT_EQ(hops_.done().neighbours_asked, 1u);
  for (const auto& sa : sas_) EXPECT_EQ(HopOf(*sa), kFirst);
  Add(2);
  EXPECT_EQ(hops_.done().routes_asked, 2u);
  EXPECT_EQ(hops_.done().neighbours_asked, 1u) << "events name the gateway";
  EXPECT_EQ(HopOf(*sas_.back()), kFirst);
}

TEST_F(NextHopsTest, NewFarEndIsAskedOnceTheClientHasItsAnswer) {
  const auto first = AddUnanswered(Peer(1));
  const auto second = AddUnanswered(Peer(1));
  EXPECT_TRUE(hops_.HasNew());
  EXPECT_EQ(hops_.done(), NextHops::Work());
  EXPECT_EQ(HopOf(*first), std::nullopt);
  hops_.AskNew(now_);
  EXPECT_FALSE(hops_.HasNew());
  EXPECT_EQ(hops_.done().routes_asked, 1u);
  EXPECT_EQ(HopOf(*first), kFirst);
  EXPECT_EQ(HopOf(*second), kFirst);
  EXPECT_EQ(firsts_, 2) << "packets may wait for it";
  hops_.AskNew(now_);
  EXPECT_EQ(hops_.done().routes_asked, 1u);
}

TEST_F(NextHopsTest, NewFarEndOfAnSaInUseIsAskedAtOnce) {
  const auto idle = AddUnanswered(Peer(1));
  EXPECT_EQ(HopOf(*idle), std::nullopt);
  const auto used = AddUnanswered(Peer(2), /*packets=*/1);
  EXPECT_EQ(HopOf(*used), kFirst);
  EXPECT_FALSE(hops_.HasNew());
  const auto first = AddUnanswered(Peer(3));
  const auto second = AddUnanswered(Peer(3), /*packets=*/1);
  EXPECT_EQ(HopOf(*second), kFirst) << "also if an idle SA came before it";
  EXPECT_EQ(HopOf(*first), kFirst);
}

TEST_F(NextHopsTest, NewFarEndIsAskedInTheNextTurnAtTheLatest) {
  const auto sa = AddUnanswered(Peer(1));
  hops_.DoSome(now_);
  EXPECT_EQ(HopOf(*sa), kFirst);
}

TEST_F(NextHopsTest, FarEndThatIsGoneBeforeTheAnswerIsNotAsked) {
  const auto sa = AddUnanswered(Peer(1));
  hops_.Forget(*sa);
  hops_.AskNew(now_);
  EXPECT_EQ(hops_.done(), NextHops::Work());
  EXPECT_EQ(HopOf(*sa), std::nullopt);
}

TEST_F(NextHopsTest, PacketDoesNotWaitForTheAnswerOfAClient) {
  const auto sa = AddUnanswered(Peer(1));
  hops_.Want(*sa, now_);
  EXPECT_EQ(HopOf(*sa), kFirst);
  hops_.AskNew(now_);
  EXPECT_EQ(hops_.done().routes_asked, 1u);
}

TEST_F(NextHopsTest, FarEndsOfOneDatagramDoNotWaitForAllOfThem) {
  for (uint32_t i = 0; i < 100; ++i) AddUnanswered(Peer(i));
  EXPECT_EQ(hops_.done().routes_asked, 96u);
  hops_.AskNew(now_);
  EXPECT_EQ(hops_.done().routes_asked, 100u);
  for (const auto& sa : sas_) EXPECT_EQ(HopOf(*sa), kFirst);
}

TEST_F(NextHopsTest, StartDoesNotWaitForFarEndsToWhichNothingWasSent) {
  for (uint32_t i = 0; i < 100; ++i) AddRestored(i);
  EXPECT_FALSE(hops_.HasNew()) << "a client's answer does not wait for them";
  EXPECT_EQ(hops_.done(), NextHops::Work());
  uint64_t turns = 0;
  bool more = true;
  while (more) {
    more = hops_.DoSome(now_);
    EXPECT_LE(hops_.done().routes_asked, 32 * ++turns);
  }
  EXPECT_EQ(hops_.done().routes_asked, 100u);
  for (const auto& sa : sas_) EXPECT_EQ(HopOf(*sa), kFirst);
}

TEST_F(NextHopsTest, StartAsksForFarEndsToWhichPacketsWereSent) {
  const auto idle = AddRestored(1);
  const auto used = AddRestored(1, /*packets=*/1);
  EXPECT_EQ(HopOf(*used), kFirst);
  EXPECT_EQ(HopOf(*idle), kFirst);
  AddRestored(1, /*packets=*/1);
  EXPECT_EQ(hops_.done().routes_asked, 1u);
  const auto gone = AddRestored(2);
  hops_.Forget(*gone);
  EXPECT_FALSE(hops_.DoSome(now_));
  EXPECT_EQ(hops_.done().routes_asked, 1u);
}

TEST_F(NextHopsTest, NeighbourThatNobodyUsesCostsNothing) {
  for (uint32_t i = 0; i < 100; ++i) Add(i);
  const NextHops::Work before = hops_.done();
  for (uint32_t i = 0; i < 5000; ++i) {
    IpAddress spoofed = test::Ip("198.51.100.2");
    spoofed.bytes[2] = static_cast<uint8_t>(i >> 8);
    spoofed.bytes[3] = static_cast<uint8_t>(i | 2);
    NotifyOf(spoofed,
             MacAddress{2, 1, 1, 1, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)});
    NotifyOf(spoofed, std::nullopt);
    NotifyOf(gateway_, kSecondMac, kNic0 + 1);
  }
  EXPECT_FALSE(hops_.DoSome(now_));
  EXPECT_EQ(hops_.done(), before);
  EXPECT_EQ(HopOf(*sas_[0]), kFirst);
}

TEST_F(NextHopsTest, NeighbourThatIsWhatItWasCostsNothing) {
  for (uint32_t i = 0; i < 100; ++i) Add(i);
  const NextHops::Work before = hops_.done();
  for (int i = 0; i < 1000; ++i) NotifyOf(gateway_, kFirst);
  EXPECT_FALSE(hops_.DoSome(now_));
  EXPECT_EQ(hops_.done(), before);
}

TEST_F(NextHopsTest, NewAddressIsToldAtOnceAndWithoutQuestions) {
  for (uint32_t i = 0; i < 100; ++i) Add(i);
  now_ += kSecond;
  const NextHops::Work before = hops_.done();
  NotifyOf(gateway_, kSecondMac);
  for (const auto& sa : sas_) EXPECT_EQ(HopOf(*sa), kSecondMac);
  EXPECT_EQ(hops_.done().sas_notified, before.sas_notified + 100);
  EXPECT_EQ(hops_.done().routes_asked, before.routes_asked);
}

TEST_F(NextHopsTest, GatewayThatFlapsIsToldTenTimesASecondAtMost) {
  for (uint32_t i = 0; i < 100; ++i) Add(i);
  const NextHops::Work before = hops_.done();
  for (int i = 0; i < 1000; ++i) {  // one second
    now_ += kSecond / 1000;
    NotifyOf(gateway_, i % 2 == 0 ? kSecondMac : kFirst);
    hops_.DoSome(now_);
  }
  EXPECT_LE(hops_.done().sas_notified - before.sas_notified, 11u * 100u);
  NotifyOf(gateway_, kSecondMac);
  now_ += kSecond;
  hops_.DoSome(now_);
  EXPECT_EQ(HopOf(*sas_[99]), kSecondMac) << "the last event counts";
}

TEST_F(NextHopsTest, UnknownNeighbourIsProbedOnceASecond) {
  neighbour_.reset();
  Add(1);
  EXPECT_EQ(hops_.done().probes, 1u);
  for (int i = 0; i < 100; ++i) NotifyOf(gateway_, std::nullopt);
  EXPECT_EQ(hops_.done().probes, 1u);
  now_ += kSecond;
  NotifyOf(gateway_, std::nullopt);
  EXPECT_EQ(hops_.done().probes, 2u);
  EXPECT_EQ(HopOf(*sas_[0]), std::nullopt);
  NotifyOf(gateway_, kFirst);
  EXPECT_EQ(HopOf(*sas_[0]), kFirst);
}

// Packets of a tunnel wait for it.
TEST_F(NextHopsTest, WantedNextHopIsAskedOnceASecondAndItsArrivalIsTold) {
  neighbour_.reset();
  const auto sa = Add(1);
  now_ += kSecond;
  const NextHops::Work before = hops_.done();
  for (int i = 0; i < 100; ++i) hops_.Want(*sa, now_);
  EXPECT_EQ(hops_.done().routes_asked, before.routes_asked + 1);
  EXPECT_EQ(hops_.done().probes, before.probes + 1);
  EXPECT_EQ(firsts_, 0);
  NotifyOf(gateway_, kFirst);
  EXPECT_EQ(firsts_, 1);
  now_ += kSecond;
  NotifyOf(gateway_, kSecondMac);
  EXPECT_EQ(firsts_, 1) << "nothing waits for another address";
}

TEST_F(NextHopsTest, RoutesAreAskedInPartsAndRoundsAreApart) {
  for (uint32_t i = 0; i < 100; ++i) Add(i);
  const uint64_t before = hops_.done().routes_asked;
  gateway_ = test::Ip("198.51.100.77");
  neighbour_->mac = kSecondMac;
  hops_.AskAgain();
  int turns = 0;
  while (hops_.DoSome(now_)) {
    hops_.AskAgain();  // routes keep changing
    EXPECT_LE(hops_.done().routes_asked, before + 32u * static_cast<uint64_t>(++turns));
  }
  EXPECT_EQ(turns, 3);
  EXPECT_EQ(hops_.done().routes_asked, before + 100);
  for (const auto& sa : sas_) EXPECT_EQ(HopOf(*sa), kSecondMac);
  hops_.DoSome(now_);
  EXPECT_EQ(hops_.done().routes_asked, before + 100) << "the next round has to wait";
  now_ += kSecond;
  hops_.DoSome(now_);
  EXPECT_GT(hops_.done().routes_asked, before + 100);
}

TEST_F(NextHopsTest, SasOfOneFarEndComeAndGo) {
  for (int i = 0; i < 6; ++i) Add(1);
  for (const std::size_t gone : {0u, 3u, 5u, 1u}) {
    hops_.Forget(*sas_[gone]);
    hops_.Forget(*sas_[gone]);  // it is not there any more
    sas_[gone]->outbound()->next_hop.Clear();
    now_ += kSecond;
    NotifyOf(gateway_, now_ / kSecond % 2 == 0 ? kSecondMac : kFirst);
    EXPECT_EQ(HopOf(*sas_[gone]), std::nullopt);
    EXPECT_EQ(HopOf(*sas_[2]), HopOf(*sas_[4]));
    EXPECT_EQ(HopOf(*sas_[2]), now_ / kSecond % 2 == 0 ? kSecondMac : kFirst);
  }
  hops_.Forget(*sas_[2]);
  hops_.Forget(*sas_[4]);
  const NextHops::Work before = hops_.done();
  now_ += kSecond;
  NotifyOf(gateway_, kFirst);
  EXPECT_FALSE(hops_.DoSome(now_));
  EXPECT_EQ(hops_.done(), before);
}

// In the middle of notifying thousands, those of whom it is the turn go, and others come.
TEST_F(NextHopsTest, NotificationGoesOnWhenFarEndsGo) {
  constexpr uint32_t kMany = 6000;
  for (uint32_t i = 0; i < kMany; ++i) AddAt(i);
  now_ += kSecond;
  NotifyOf(gateway_, kSecondMac);
  const auto notified = [this](std::size_t i) { return HopOf(*sas_[i]) == kSecondMac; };
  std::size_t next = 0;
  while (notified(next)) ++next;
  ASSERT_GT(next, 1000u);
  ASSERT_LT(next, kMany - 100) << "not all at once";
  for (std::size_t i = next - 2; i < next + 3; ++i) hops_.Forget(*sas_[i]);
  hops_.Forget(*sas_[0]);
  hops_.Forget(*sas_[kMany - 1]);
  AddAt(kMany);
  while (hops_.DoSome(now_)) {
  }
  for (std::size_t i = 0; i < sas_.size(); ++i) {
    const bool gone = i >= next && (i < next + 3 || i == kMany - 1);
    EXPECT_EQ(HopOf(*sas_[i]), gone ? kFirst : kSecondMac) << i;
  }
}

TEST_F(NextHopsTest, OfAnSaThatIsGoneNothingIsKept) {
  const auto sa = Add(1);
  hops_.Forget(*sa);
  const NextHops::Work before = hops_.done();
  NotifyOf(gateway_, kSecondMac);
  hops_.AskAgain();
  EXPECT_FALSE(hops_.DoSome(now_));
  EXPECT_EQ(hops_.done(), before);
  EXPECT_EQ(HopOf(*sa), kFirst);
}

}  // namespace
}  // namespace cygnet
