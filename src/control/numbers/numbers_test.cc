#include "control/numbers/numbers.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "support/fake_clock.h"
#include "support/memory_number_store.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MemoryNumberStore;
using Answer = MemoryNumberStore::Answer;
constexpr uint64_t kBlock = NumberSizes().smallest_block;
constexpr uint64_t kStep = NumberSizes().first_step;
constexpr uint64_t kMs = 1'000'000;

class NumbersTest : public testing::Test {
 protected:
  // All SAs have the same key, whatever their SPI.
  static SaSpec SpecOf(const test::SaOptions& options) {
    SaSpec spec = test::MakeSpec(options);
    const std::vector<uint8_t> key(20, 7);
    spec.aead.key = KeyMaterial(key);
    return spec;
  }
  SaPtr Begin(const test::SaOptions& options = {}) {
    SaSpec spec = SpecOf(options);
    const auto identity = numbers_->Identify(spec);
    if (!identity) return nullptr;
    const uint64_t mask = identity->has_value() ? (*identity)->iv_mask : 0;
    auto sa = MakeSharedSa(std::move(spec), uint64_t{1}, mask);
    sa->number = ++last_;
    if (!numbers_->Begin(sa, *identity)) return nullptr;
    numbers_->Attach(sa);
    return sa;
  }
  // The process ends at once, and the next one begins.
  void Crash() {
    store_ = std::make_unique<MemoryNumberStore>(&content_);
    numbers_ = std::make_unique<Numbers>(store_.get(), &clock_);
  }
  void Send(const SaPtr& sa, uint64_t count) {
    for (; count != 0; --count) {
      if (sa->outbound()->sequence.Reserve(1).low) numbers_->OnLow(*sa);
    }
  }
  DropReason Receive(const SaPtr& sa, uint64_t seq) {
    DropReason verdict = sa->inbound()->replay.Check(seq);
    if (sa->inbound()->replay.CommitRun({&seq, 1}, {&verdict, 1}) == NumbersLeft::kLow) {
      numbers_->OnLow(*sa);
    }
    return verdict;
  }
  uint64_t given() const { return content_.given.begin()->second; }
  uint64_t mark() const { return content_.marks.begin()->second; }

  test::FakeClock clock_;
  MemoryNumberStore::Content content_;
  std::unique_ptr<MemoryNumberStore> store_ = std::make_unique<MemoryNumberStore>(&content_);
  std::unique_ptr<Numbers> numbers_ = std::make_unique<Numbers>(store_.get(), &clock_);
  uint64_t last_ = 0;
};

TEST_F(NumbersTest, ABlockIsStoredBeforeItsFirstNumberIsUsed) {
  const auto sa = Begin();
  EXPECT_EQ(given(), kBlock);
  EXPECT_EQ(sa->outbound()->sequence.edge(), kBlock);
  EXPECT_EQ(sa->outbound()->sequence.Reserve(1).first, 1u);
}

TEST_F(NumbersTest, AKeyThatComesBackUnderAnotherSpiContinues) {
  const auto sa = Begin({.spi = 1});
  Send(sa, 10);
  Crash();
  const auto again = Begin({.dst = "192.0.2.9", .spi = 2});
  EXPECT_EQ(again->outbound()->sequence.Reserve(1).first, kBlock + 1);
  EXPECT_EQ(again->outbound()->iv_mask, sa->outbound()->iv_mask) << "disjoint numbers are nonces";
}

TEST_F(NumbersTest, AnotherKeyHasAnotherCounterAndMask) {
  const SaSpec one = SpecOf({});
  SaSpec other = SpecOf({});
  const std::vector<uint8_t> key(20, 8);
  other.aead.key = KeyMaterial(key);
  const auto a = numbers_->Identify(one);
  const auto b = numbers_->Identify(other);
  EXPECT_NE((*a)->outbound, (*b)->outbound);
  EXPECT_NE((*a)->iv_mask, (*b)->iv_mask);
}

TEST_F(NumbersTest, WhatAnSaDidNotUseIsGivenBack) {
  const auto sa = Begin();
  Send(sa, 10);
  EXPECT_EQ(Receive(sa, 3), DropReason::kNone);
  numbers_->Forget(*sa);
  EXPECT_EQ(sa->outbound()->sequence.Reserve(1).count, 0u) << "closed";
  EXPECT_EQ(Receive(sa, 4), DropReason::kInNoNumbers);
  const auto next = Begin({.spi = 0x1000});
  EXPECT_EQ(next->outbound()->sequence.Reserve(1).first, 11u);
  EXPECT_EQ(Receive(next, 3), DropReason::kInNumberUnknown);
  EXPECT_EQ(Receive(next, 4), DropReason::kNone);
}

TEST_F(NumbersTest, TwoSasOfOneKeyTakeBlocksFromOneCounter) {
  const auto a = Begin({.spi = 1});
  const auto b = Begin({.spi = 2});
  EXPECT_EQ(b->outbound()->sequence.Reserve(1).first, kBlock + 1);
  Send(a, kBlock / 2);
  numbers_->DoSome();
  EXPECT_EQ(a->outbound()->sequence.Reserve(1).first, 2 * kBlock + 1) << "the rest is skipped";
}

TEST_F(NumbersTest, TheNextBlockComesBeforeTheFirstIsUsedUpAndFollowsTheRate) {
  const auto sa = Begin();
  clock_.monotonic_ns += 10 * kMs;
  Send(sa, kBlock / 2);
  numbers_->DoSome();
  const uint64_t size = given() - kBlock;
  EXPECT_NEAR(static_cast<double>(size), 100.0 * kBlock / 2, kBlock) << "a second of traffic";
  EXPECT_EQ(sa->outbound()->sequence.Reserve(1).first, kBlock / 2 + 1) << "without a gap";
}

TEST_F(NumbersTest, WithoutTheStoreAnSaStopsAtItsEdgeAndGoesOnAfter) {
  const auto sa = Begin();
  store_->answer = Answer::kRefused;
  Send(sa, kBlock + 5);
  numbers_->DoSome();
  EXPECT_EQ(sa->outbound()->sequence.last_sent(), kBlock);
  EXPECT_FALSE(sa->outbound()->sequence.exhausted());
  EXPECT_NE(numbers_->fault(), "");
  EXPECT_EQ(Begin({.spi = 9}), nullptr) << "no SA without numbers";
  store_->answer = Answer::kGiven;
  numbers_->Tick();
  EXPECT_EQ(numbers_->fault(), "");
  EXPECT_EQ(sa->outbound()->sequence.Reserve(1).first, kBlock + 1);
}

TEST_F(NumbersTest, ABlockWhoseAnswerWasLostIsNotUsed) {
  const auto sa = Begin();
  store_->answer = Answer::kLost;
  Send(sa, kBlock);
  numbers_->DoSome();
  EXPECT_GT(given(), kBlock);
  EXPECT_EQ(sa->outbound()->sequence.Reserve(1).count, 0u);
  store_->answer = Answer::kGiven;
  const uint64_t lost = given();
  numbers_->Tick();
  EXPECT_EQ(sa->outbound()->sequence.Reserve(1).first, lost + 1);
}

TEST_F(NumbersTest, AfterACrashPacketsUpToTheMarkAreRefused) {
  const auto sa = Begin();
  EXPECT_EQ(Receive(sa, 5), DropReason::kNone);
  Crash();
  const auto next = Begin();
  EXPECT_EQ(Receive(next, 5), DropReason::kInNumberUnknown);
  EXPECT_EQ(Receive(next, kStep), DropReason::kInNumberUnknown);
  EXPECT_EQ(Receive(next, kStep + 1), DropReason::kNone);
}

TEST_F(NumbersTest, ANumberAboveTheMarkIsAcceptedOnceTheMarkIsRaised) {
  const auto sa = Begin();
  EXPECT_EQ(Receive(sa, 1'000'000), DropReason::kInNoNumbers);
  EXPECT_EQ(sa->inbound()->replay.highest(), 0u);
  numbers_->DoSome();
  EXPECT_GT(mark(), 1'000'000u);
  EXPECT_EQ(Receive(sa, 1'000'000), DropReason::kNone);
}

TEST_F(NumbersTest, TheMarkOfAnIdleSaIsLowered) {
  const auto sa = Begin();
  EXPECT_EQ(Receive(sa, 5), DropReason::kNone);
  numbers_->Tick();
  EXPECT_EQ(mark(), kStep) << "it received something since";
  numbers_->Tick();
  EXPECT_EQ(mark(), 5 + NumberSizes().smallest_step);
  EXPECT_EQ(Receive(sa, mark() + 1), DropReason::kInNoNumbers);
}

// 2,000 packets a second, with a store that needs 200 ms: neither are packets refused all the time,
// nor does the mark run ahead of the peer.
TEST_F(NumbersTest, ASlowStoreCostsFewPacketsAndTheMarkStaysNear) {
  const auto sa = Begin();
  uint64_t seq = 0;
  uint64_t refused = 0;
  const auto one_packet = [&] {
    clock_.monotonic_ns += kMs / 2;
    if (Receive(sa, ++seq) != DropReason::kNone) ++refused;
  };
  store_->while_waiting = [&] {
    for (int i = 0; i < 400; ++i) one_packet();
  };
  for (int ms = 0; ms < 20'000; ++ms) {
    one_packet();
    one_packet();
    numbers_->DoSome();
    if (ms % 1000 == 999) numbers_->Tick();
    ASSERT_LE(mark(), seq + kStep) << seq;
    if (ms > 2000) {
      ASSERT_LE(mark(), seq + 2000) << seq;
    }
  }
  EXPECT_LT(refused, seq / 50) << "of " << seq;
}

TEST_F(NumbersTest, APeerThatSkipsNumbersDoesNotSendFast) {
  const auto sa = Begin();
  for (uint64_t seq = 1; seq <= 200; ++seq) {
    EXPECT_EQ(Receive(sa, seq), DropReason::kNone);
    clock_.monotonic_ns += kMs;
  }
  numbers_->Tick();
  numbers_->Tick();
  (void)Receive(sa, 65'536);
  numbers_->DoSome();
  EXPECT_LE(mark(), 65'536 + 8 * NumberSizes().smallest_step);
}

TEST_F(NumbersTest, ADeviceGetsNumbersThatAreStored) {
  const auto sa = Begin();
  numbers_->EnsureOutbound(*sa, 2 * kBlock);
  EXPECT_GE(sa->outbound()->sequence.edge(), 2 * kBlock);
  EXPECT_GE(given(), 2 * kBlock);
  EXPECT_EQ(numbers_->EnsureInbound(*sa, 9'000), 9'000u);
  EXPECT_EQ(mark(), 9'000u);
  numbers_->Tick();
  numbers_->Tick();
  EXPECT_EQ(mark(), 9'000u) << "the device may accept them at any time";
  store_->answer = Answer::kRefused;
  EXPECT_EQ(numbers_->EnsureInbound(*sa, 20'000), 9'000u);
}

TEST_F(NumbersTest, WithoutEsnTheLastBlockEndsAtTheLimit) {
  const auto sa = Begin({.oseq = 0xfffffff0});
  EXPECT_EQ(sa->outbound()->sequence.Reserve(64).count, 15u);
  EXPECT_TRUE(sa->outbound()->sequence.exhausted());
  Crash();
  const auto next = Begin();
  EXPECT_EQ(next->outbound()->sequence.Reserve(1).count, 0u) << "the key has no number left";
  EXPECT_TRUE(next->outbound()->sequence.exhausted());
}

TEST_F(NumbersTest, ManySasWaitForTheStoreOnce) {
  std::vector<SaPtr> all;
  for (uint32_t spi = 1; spi <= 20; ++spi) all.push_back(Begin({.spi = spi}));
  for (const auto& sa : all) EXPECT_EQ(Receive(sa, kStep - 1), DropReason::kNone);
  const int before = store_->steps;
  numbers_->DoSome();
  EXPECT_EQ(store_->steps, before + 1);
  for (const auto& sa : all) EXPECT_GT(sa->inbound()->replay.mark(), kStep);
}

TEST_F(NumbersTest, AfterAFaultAllSasGetNumbersWithTheNextTick) {
  std::vector<SaPtr> all;
  for (uint32_t spi = 1; spi <= 5000; ++spi) all.push_back(Begin({.spi = spi}));
  store_->answer = Answer::kRefused;
  for (const auto& sa : all) EXPECT_EQ(Receive(sa, kStep - 1), DropReason::kNone);
  numbers_->DoSome();
  store_->answer = Answer::kGiven;
  numbers_->Tick();
  for (const auto& sa : all) ASSERT_GT(sa->inbound()->replay.mark(), kStep);
}

TEST_F(NumbersTest, CellsHaveTheNumbersBeforeTheyAreUsed) {
  NumberCells cells;
  numbers_ = std::make_unique<Numbers>(nullptr, &clock_, [&cells](const Sa& sa) {
    return sa.spec().spi.value == 1 ? &cells : nullptr;
  });
  const auto sa = Begin({.spi = 1});
  EXPECT_EQ(cells.out_given.load(), kBlock);
  Send(sa, kBlock / 2);
  numbers_->DoSome();
  EXPECT_EQ(cells.out_given.load(), sa->outbound()->sequence.edge());
  EXPECT_GT(cells.out_given.load(), kBlock);
  EXPECT_EQ(Receive(sa, 77), DropReason::kNone);
  EXPECT_EQ(cells.in_top.load(), 77u);
  numbers_->Forget(*sa);
  const auto other = Begin({.spi = 2});
  EXPECT_EQ(other->outbound()->sequence.edge(), other->outbound()->sequence.limit())
      << "its numbers end with the process";
}

}  // namespace
}  // namespace cygnet
