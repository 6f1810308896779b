#include "sa/sad.h"

#include <gtest/gtest.h>

#include "support/owners.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MakeSa;
using test::SaOptions;

FlowKey Flow(const char* src = "10.1.0.1", const char* dst = "10.2.0.1") {
  FlowKey f;
  f.saddr = test::Ip(src);
  f.daddr = test::Ip(dst);
  f.family = test::Addr(src).family;
  f.proto = 17;
  return f;
}

class SadTest : public testing::Test {
 protected:
  SaPtr Add(const SaOptions& options = {}) { return Add(test::MakeSpec(options)); }
  SaPtr Add(SaSpec spec) {
    auto sa = MakeSharedSa(std::move(spec), 1, test::kTestIvMask);
    sad_.Insert(sa);
    return sa;
  }
  Sa* Inbound(uint32_t spi = 0x1000, const char* dst = "192.0.2.2", uint8_t proto = kProtoEsp) {
    return sad_.LookupInbound(Spi(spi), test::Ip(dst), test::Addr(dst).family, proto);
  }
  const Sa* Outbound(Sad::OutboundQuery query, const FlowKey& flow = Flow()) {
    const OutboundSa* found = sad_.ResolveOutbound(query, flow);
    return found == nullptr ? nullptr : found->sa;
  }
  static Sad::OutboundQuery Query() {
    return {.reqid = Reqid(1),
            .mode = SaMode::kTunnel,
            .proto = kProtoEsp,
            .family = IpFamily::kV4,
            .spi = Spi(0),
            .daddr = test::Ip("192.0.2.2"),
            .saddr = test::Ip("192.0.2.1")};
  }
  SaId Id() {
    return {.daddr = test::Ip("192.0.2.2"),
            .spi = Spi(0x1000),
            .proto = kProtoEsp,
            .family = IpFamily::kV4};
  }
  Quiescence quiescence_;
  Sad sad_{&quiescence_};
};

TEST_F(SadTest, InboundByDestinationSpiAndProtocol) {
  const auto sa = Add();
  EXPECT_EQ(Inbound(), sa.get());
  EXPECT_EQ(Inbound(0x1001), nullptr);
  EXPECT_EQ(Inbound(0x1000, "192.0.2.3"), nullptr);
  EXPECT_EQ(Inbound(0x1000, "192.0.2.2", kProtoAh), nullptr);
  EXPECT_EQ(Inbound(0x1000, "2001:db8::2"), nullptr);
}

TEST_F(SadTest, InboundKnowsTheFamilyApart) {
  Add(SaOptions{.src = "::", .dst = "c000:202::"});  // the bytes of 192.0.2.2, then zeros
  EXPECT_EQ(Inbound(), nullptr);
  EXPECT_NE(Inbound(0x1000, "c000:202::"), nullptr);
}

// RFC 9611: the SA of the packet's CPU, else the one of all CPUs.
TEST_F(SadTest, OutboundPrefersTheSaOfThePacketsCpu) {
  const auto of_cpu = [](uint32_t spi, uint32_t cpu) {
    SaSpec spec = test::MakeSpec({.spi = spi});
    spec.rare.Change()->cpu = cpu;
    return spec;
  };
  const auto on = [](std::optional<uint32_t> cpu) {
    Sad::OutboundQuery query = Query();
    query.cpu = cpu;
    return query;
  };
  const auto own = Add(of_cpu(0x100, 1));
  EXPECT_EQ(Outbound(on(1)), own.get());
  EXPECT_EQ(Outbound(on(0)), nullptr) << "another CPU may not use it";
  EXPECT_EQ(Outbound(on(std::nullopt)), nullptr);
  const auto fallback = Add(SaOptions{.spi = 0x200});
  EXPECT_EQ(Outbound(on(1)), own.get()) << "although the other one is newer";
  EXPECT_EQ(Outbound(on(0)), fallback.get());
  EXPECT_EQ(Outbound(on(std::nullopt)), fallback.get());
  const auto newer = Add(of_cpu(0x300, 1));
  EXPECT_EQ(Outbound(on(1)), newer.get());
  sad_.Remove(newer);
  own->set_state(SaState::kDying);
  EXPECT_EQ(Outbound(on(1)), fallback.get()) << "a valid one first";
  sad_.Remove(fallback);
  EXPECT_EQ(Outbound(on(1)), own.get());
  sad_.Remove(own);
  EXPECT_EQ(Outbound(on(1)), nullptr);
}

TEST_F(SadTest, InboundKnowsNoCpu) {
  SaSpec spec = test::MakeSpec();
  spec.rare.Change()->cpu = 1;
  const auto sa = Add(std::move(spec));
  EXPECT_EQ(Inbound(), sa.get());
}

TEST_F(SadTest, LarvalIsFoundInboundAndNotOutbound) {
  auto larval = MakeSharedSa(test::MakeSpec(), 1, Sa::Larval{});
  sad_.Insert(larval);
  EXPECT_EQ(Inbound(), larval.get());
  EXPECT_EQ(Outbound(Query()), nullptr);
}

TEST_F(SadTest, LarvalsAreFoundByWhatTheyAreFor) {
  Add();
  const auto any = [](const Sa&) { return true; };
  const SaSpec tuple = test::MakeSpec({.spi = 7});
  EXPECT_EQ(sad_.FindLarval(tuple, any), nullptr) << "an SA with keys is not larval";
  auto first = MakeSharedSa(test::MakeSpec({.spi = 0x2000}), 1, Sa::Larval{});
  auto second = MakeSharedSa(test::MakeSpec({.spi = 0x2001}), 1, Sa::Larval{});
  sad_.Insert(first);
  sad_.Insert(second);
  EXPECT_EQ(sad_.FindLarval(tuple, any), second) << "the newest";
  EXPECT_EQ(sad_.FindLarval(tuple, [](const Sa& sa) { return sa.spec().spi.value == 0x2000; }),
            first);
  SaSpec other = test::MakeSpec({.spi = 7});
  other.saddr = test::Ip("192.0.2.77");
  EXPECT_EQ(sad_.FindLarval(other, any), nullptr);
  sad_.Remove(second);
  EXPECT_EQ(sad_.FindLarval(tuple, any), first);
  sad_.Remove(first);
  EXPECT_EQ(sad_.FindLarval(tuple, any), nullptr);
}

TEST_F(SadTest, LarvalWithoutSpiIsNoConcernOfWorkers) {
  auto larval = MakeSharedSa(test::MakeSpec({.spi = 0}), 1, Sa::Larval{});
  const SaPtr watch = larval;
  sad_.Insert(larval);
  EXPECT_EQ(sad_.reachable(), 0u);
  EXPECT_FALSE(sad_.SpiTaken(kProtoEsp, Spi(0)));
  sad_.Remove(larval);
  larval.reset();
  EXPECT_TRUE(test::HasOneOwner(watch)) << "freed at once: no worker can have found it";
}

TEST_F(SadTest, WalksInParts) {
  for (uint32_t spi = 1; spi <= 5; ++spi) Add(SaOptions{.spi = spi});
  std::vector<uint32_t> met;
  std::optional<uint64_t> from = 0;
  int parts = 0;
  for (; from.has_value(); ++parts) {
    int left = 2;
    from = sad_.ForEachFrom(*from, [&](const SaPtr& sa) {
      met.push_back(sa->spec().spi.value);
      if (sa->spec().spi.value == 2) sad_.Remove(sa);
      return --left > 0;
    });
  }
  EXPECT_EQ(met, (std::vector<uint32_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(parts, 3);
}

TEST_F(SadTest, ForEachStandsTheRemovalOfTheOneAtHand) {
  for (uint32_t spi = 1; spi <= 5; ++spi) Add(SaOptions{.spi = spi});
  std::vector<uint32_t> met;
  sad_.ForEach([&](const SaPtr& sa) {
    met.push_back(sa->spec().spi.value);
    if (sa->spec().spi.value % 2 == 0) sad_.Remove(sa);
  });
  EXPECT_EQ(met, (std::vector<uint32_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(sad_.size(), 3u);
}

TEST_F(SadTest, RemovedIsFoundNoMoreAndStaysWholeUntilCollected) {
  auto sa = Add();
  Quiescence::Reader* reader = quiescence_.AddReader();
  reader->Online();
  Sa* raw = Inbound();
  sad_.Remove(sa);
  sa.reset();
  EXPECT_EQ(Inbound(), nullptr);
  EXPECT_EQ(Outbound(Query()), nullptr);
  EXPECT_EQ(sad_.size(), 0u);
  quiescence_.Collect();
  EXPECT_EQ(raw->spec().spi, Spi(0x1000));
}

TEST_F(SadTest, RemovedIsFreedOnceNoWorkerCanUseIt) {
  const SaPtr watch = Add();
  Quiescence::Reader* reader = quiescence_.AddReader();
  reader->Online();
  sad_.Remove(watch);
  quiescence_.Collect();
  EXPECT_FALSE(test::HasOneOwner(watch));
  reader->Quiescent();
  quiescence_.Collect();
  EXPECT_TRUE(test::HasOneOwner(watch));
}

TEST_F(SadTest, NewestWinsOutbound) {
  Add(SaOptions{.spi = 0x1000});
  const auto newer = Add(SaOptions{.spi = 0x1001});
  EXPECT_EQ(Outbound(Query()), newer.get());
}

TEST_F(SadTest, DyingLosesToAnOlderValidOneAndServesWhenAlone) {
  const auto older = Add(SaOptions{.spi = 0x1000});
  const auto newer = Add(SaOptions{.spi = 0x1001});
  newer->set_state(SaState::kDying);
  EXPECT_EQ(Outbound(Query()), older.get());
  older->set_state(SaState::kDead);
  EXPECT_EQ(Outbound(Query()), newer.get());
  newer->set_state(SaState::kExpired);
  EXPECT_EQ(Outbound(Query()), nullptr);
}

TEST_F(SadTest, EveryFieldOfTheQueryCounts) {
  Add();
  struct Case {
    const char* name;
    void (*change)(Sad::OutboundQuery*);
  };
  const Case cases[] = {
      {"reqid", [](Sad::OutboundQuery* q) { q->reqid = Reqid(2); }},
      {"reqid 0 is not a wildcard", [](Sad::OutboundQuery* q) { q->reqid = Reqid(0); }},
      {"mode", [](Sad::OutboundQuery* q) { q->mode = SaMode::kTransport; }},
      {"protocol", [](Sad::OutboundQuery* q) { q->proto = kProtoAh; }},
      {"family", [](Sad::OutboundQuery* q) { q->family = IpFamily::kV6; }},
      {"SPI", [](Sad::OutboundQuery* q) { q->spi = Spi(7); }},
      {"destination", [](Sad::OutboundQuery* q) { q->daddr = test::Ip("192.0.2.9"); }},
      {"source", [](Sad::OutboundQuery* q) { q->saddr = test::Ip("192.0.2.9"); }},
  };
  EXPECT_NE(Outbound(Query()), nullptr);
  for (const Case& c : cases) {
    Sad::OutboundQuery query = Query();
    c.change(&query);
    EXPECT_EQ(Outbound(query), nullptr) << c.name;
  }
  Sad::OutboundQuery exact = Query();
  exact.spi = Spi(0x1000);
  exact.saddr = IpAddress{};
  EXPECT_NE(Outbound(exact), nullptr);
}

TEST_F(SadTest, SelectorOfTheSaDecidesOutbound) {
  SaSpec narrow = test::MakeSpec({.spi = 0x2000});
  narrow.selector = test::MakeSelector("10.1.0.0/16", "10.2.5.0/24");
  const auto wide = Add();
  const auto sa = Add(std::move(narrow));
  EXPECT_EQ(Outbound(Query(), Flow("10.1.0.1", "10.2.5.1")), sa.get());
  EXPECT_EQ(Outbound(Query(), Flow("10.1.0.1", "10.2.6.1")), wide.get());
}

TEST_F(SadTest, SelectorWithoutAnyLimitTakesTheOtherFamilyToo) {
  const auto sa = Add();  // IPv4 selector 0/0, and an IPv6 flow in its tunnel
  EXPECT_EQ(Outbound(Query(), Flow("fd01::1", "fd02::1")), sa.get());
}

TEST_F(SadTest, WhatIsForInputOnlyIsNotResolved) {
  Add(SaOptions{.direction = SaDirection::kIn});
  EXPECT_EQ(Outbound(Query()), nullptr);
  EXPECT_NE(Inbound(), nullptr);
}

TEST_F(SadTest, FindByIdentityTakesTheNewest) {
  const auto plain = Add();
  EXPECT_EQ(sad_.Find(Id()), plain);
  const auto newer = Add();
  EXPECT_EQ(sad_.Find(Id()), newer);
}

// Issue 13, 46: `sel … dev`, with addresses and alone.
TEST_F(SadTest, AnInterfaceOfTheSelectorIsTheOneThePacketLeavesBy) {
  SaSpec spec = test::MakeSpec();
  spec.selector = test::MakeSelector("10.1.0.0/16", "10.2.0.0/16", 0);
  spec.selector.Change()->ifindex = 7;
  const auto by_address = Add(std::move(spec));
  Sad::OutboundQuery query = Query();
  EXPECT_EQ(Outbound(query), nullptr);
  query.ifindex = 8;
  EXPECT_EQ(Outbound(query), nullptr);
  query.ifindex = 7;
  EXPECT_EQ(Outbound(query), by_address.get());
  SaSpec alone = test::MakeSpec();
  alone.selector.Change()->ifindex = 8;
  const auto by_interface = Add(std::move(alone));
  EXPECT_EQ(Outbound(query), by_address.get());
  query.ifindex = 8;
  EXPECT_EQ(Outbound(query), by_interface.get());
}

TEST_F(SadTest, AcquireIsAnsweredByItsNumber) {
  SaSpec spec = test::MakeSpec();
  spec.acquire_seq = 9;
  auto larval = MakeSharedSa(std::move(spec), 1, Sa::Larval{});
  sad_.Insert(larval);
  EXPECT_EQ(sad_.FindByAcquireSeq(9), larval);
  EXPECT_EQ(sad_.FindByAcquireSeq(8), nullptr);
  larval->set_state(SaState::kValid);
  EXPECT_EQ(sad_.FindByAcquireSeq(9), nullptr);
}

TEST_F(SadTest, SpiIsTakenWhateverTheAddress) {
  Add();
  EXPECT_TRUE(sad_.SpiTaken(kProtoEsp, Spi(0x1000)));
  EXPECT_FALSE(sad_.SpiTaken(kProtoAh, Spi(0x1000)));
  EXPECT_FALSE(sad_.SpiTaken(kProtoEsp, Spi(0x1001)));
}

TEST_F(SadTest, ListIsNewestFirst) {
  for (uint32_t spi = 1; spi <= 3; ++spi) Add(SaOptions{.spi = spi});
  std::vector<uint32_t> spis;
  for (const auto& sa : sad_.List()) spis.push_back(sa->spec().spi.value);
  EXPECT_EQ(spis, (std::vector<uint32_t>{3, 2, 1}));
}

TEST_F(SadTest, ThousandsAreFoundAndRemoved) {
  std::vector<SaPtr> all;
  for (uint32_t spi = 1; spi <= 3000; ++spi) all.push_back(Add(SaOptions{.spi = spi}));
  for (uint32_t spi = 1; spi <= 3000; ++spi) ASSERT_EQ(Inbound(spi), all[spi - 1].get());
  for (uint32_t spi = 1; spi <= 3000; spi += 2) sad_.Remove(all[spi - 1]);
  for (uint32_t spi = 1; spi <= 3000; ++spi) {
    ASSERT_EQ(Inbound(spi), spi % 2 == 1 ? nullptr : all[spi - 1].get());
  }
  EXPECT_EQ(sad_.size(), 1500u);
}

// Kernel: xfrm_state_find. What the SA's client requested counts, for both.
TEST_F(SadTest, PoliciesAndSasWithPacketOffloadFindEachOtherOnly) {
  const auto request = [](OffloadMode mode, int32_t ifindex) {
    return OffloadRequest{.mode = mode, .ifindex = ifindex, .inbound = false};
  };
  const auto software = Add(SaOptions{.spi = 0x100});
  const auto crypto = Add(SaOptions{.spi = 0x101, .offload = request(OffloadMode::kCrypto, 7)});
  const auto packet = Add(SaOptions{.spi = 0x102, .offload = request(OffloadMode::kPacket, 7)});
  const auto other = Add(SaOptions{.spi = 0x103, .offload = request(OffloadMode::kPacket, 8)});
  Sad::OutboundQuery query = Query();
  EXPECT_EQ(Outbound(query), crypto.get()) << "the newest without packet offload";
  query.packet_device = 7;
  EXPECT_EQ(Outbound(query), packet.get());
  query.packet_device = 8;
  EXPECT_EQ(Outbound(query), other.get());
  query.packet_device = 9;
  EXPECT_EQ(Outbound(query), nullptr);
  sad_.Remove(crypto);
  sad_.Remove(software);
  query.packet_device = 0;
  EXPECT_EQ(Outbound(query), nullptr) << "no way into the device without a policy there";
}

TEST_F(SadTest, AnInboundSaWithPacketOffloadIsNoAnswerToAnotherPolicy) {
  Add(SaOptions{.direction = SaDirection::kIn,
                .offload = OffloadRequest{OffloadMode::kPacket, 7, /*inbound=*/true}});
  Sad::OutboundQuery query = Query();
  EXPECT_FALSE(sad_.HasInboundOnly(query));
  EXPECT_TRUE(sad_.HasInbound(query)) << "a forward policy is never offloaded";
  query.packet_device = 7;
  EXPECT_TRUE(sad_.HasInboundOnly(query));
}

TEST_F(SadTest, ByNumberOnceItIsIndexed) {
  const auto sa = Add();
  const auto low = static_cast<uint32_t>(sa->number);
  EXPECT_EQ(sad_.LookupByNumber(low), nullptr);
  sad_.IndexByNumber(sa);
  sad_.IndexByNumber(sa);
  EXPECT_EQ(sad_.LookupByNumber(low), sa.get());
  EXPECT_EQ(sad_.LookupByNumber(low + 1), nullptr);
  sad_.ForgetNumber(sa);
  EXPECT_EQ(sad_.LookupByNumber(low), nullptr) << "indexed once";
  sad_.ForgetNumber(sa);
}

}  // namespace
}  // namespace cygnet
