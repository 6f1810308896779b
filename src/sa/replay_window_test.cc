#include "sa/replay_window.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <vector>

namespace cygnet {
namespace {

using enum DropReason;

ReplayState State(uint32_t window, uint64_t seq = 0, bool extended = true) {
  ReplayState s;
  s.window = window;
  s.seq = seq;
  s.extended_form = extended;
  s.bitmap.assign(extended ? (window + 31) / 32 : 1, 0);
  return s;
}

// Check and commit of one authenticated packet.
DropReason Receive(ReplayWindow* window, uint64_t seq) {
  const DropReason reason = window->Check(seq);
  return reason == kNone ? window->Commit(seq) : reason;
}

constexpr uint32_t kWindows[] = {1, 2, 31, 32, 33, 63, 64, 65, 128, 1000, 1024, 4095, 4096};
// Too large to test every single number.
constexpr uint32_t kLargeWindows[] = {4097, 8192, 32'768, 65'535, 65'536};

TEST(ReplayWindowTest, WindowZeroChecksNothing) {
  ReplayWindow w(State(0), false);
  for (const uint64_t seq : {0u, 1u, 1u, 100u, 2u, 2u, 0u}) EXPECT_EQ(Receive(&w, seq), kNone);
  EXPECT_EQ(w.highest(), 100u);
}

TEST(ReplayWindowTest, FirstPacketWithNumberZeroIsRefused) {
  for (const uint32_t size : kWindows) {
    ReplayWindow w(State(size), false);
    EXPECT_EQ(Receive(&w, 0), kInReplayZero) << size;
    EXPECT_EQ(Receive(&w, 1), kNone) << size;
  }
}

TEST(ReplayWindowTest, RejectsDuplicates) {
  for (const uint32_t size : kWindows) {
    ReplayWindow w(State(size), false);
    EXPECT_EQ(Receive(&w, 10), kNone);
    EXPECT_EQ(Receive(&w, 10), kInReplayDuplicate) << size;
    EXPECT_EQ(Receive(&w, 11), kNone);
    EXPECT_EQ(Receive(&w, 10), size == 1 ? kInReplayOld : kInReplayDuplicate) << size;
  }
}

TEST(ReplayWindowTest, AcceptsTheOldestOfTheWindowAndNotTheOneBefore) {
  for (const uint32_t size : kWindows) {
    for (const uint64_t top :
         {uint64_t{size}, uint64_t{size} + 1, uint64_t{10'000}, uint64_t{0xffffffff}}) {
      ReplayWindow w(State(size), false);
      ASSERT_EQ(Receive(&w, top), kNone);
      const uint64_t oldest = top - size + 1;
      if (oldest > 1) {
        EXPECT_EQ(Receive(&w, oldest - 1), kInReplayOld) << size << " " << top;
      }
      EXPECT_EQ(Receive(&w, oldest), size == 1 ? kInReplayDuplicate : kNone) << size << " " << top;
      EXPECT_EQ(Receive(&w, oldest), kInReplayDuplicate) << size << " " << top;
    }
  }
}

TEST(ReplayWindowTest, StepForwardDropsExactlyTheOldest) {
  for (const uint32_t size : kWindows) {
    ReplayWindow w(State(size), false);
    for (uint64_t seq = 1; seq <= 2 * size + 130; ++seq) {
      ASSERT_EQ(Receive(&w, seq), kNone);
      ASSERT_EQ(Receive(&w, seq), kInReplayDuplicate);
      const uint64_t old = seq > size ? seq - size : 0;
      if (old > 0) {
        ASSERT_EQ(Receive(&w, old), kInReplayOld) << size << " " << seq;
      }
      if (old + 1 < seq) {
        ASSERT_EQ(Receive(&w, old + 1), kInReplayDuplicate);
      }
    }
  }
}

TEST(ReplayWindowTest, JumpsOfEveryLengthForgetWhatWasSeen) {
  for (const uint32_t size : kWindows) {
    for (uint64_t jump = 1; jump < 3 * size + 300; jump += 1 + jump / 7) {
      ReplayWindow w(State(size), false);
      for (uint64_t seq = 1; seq <= size; ++seq) w.Commit(seq);
      const uint64_t top = size + jump;
      ASSERT_EQ(Receive(&w, top), kNone);
      for (uint64_t seq = top - size + 1; seq < top; ++seq) {
        const DropReason expected = seq <= size ? kInReplayDuplicate : kNone;
        ASSERT_EQ(w.Check(seq), expected) << "window " << size << " jump " << jump << " " << seq;
      }
    }
  }
}

TEST(ReplayWindowTest, LargeWindowsKeepTheirEdges) {
  for (const uint32_t size : kLargeWindows) {
    for (const uint64_t jump : {1u, 63u, 64u, 65u, size - 1, size, size + 1, 3 * size}) {
      ReplayWindow w(State(size), false);
      for (uint64_t seq = 1; seq <= size; ++seq) w.Commit(seq);
      const uint64_t top = size + jump;
      ASSERT_EQ(Receive(&w, top), kNone);
      const uint64_t oldest = top - size + 1;
      EXPECT_EQ(w.Check(oldest - 1), kInReplayOld) << size << " " << jump;
      for (uint64_t seq = oldest; seq < top; ++seq) {
        ASSERT_EQ(w.Check(seq), seq <= size ? kInReplayDuplicate : kNone)
            << "window " << size << " jump " << jump << " " << seq;
      }
    }
  }
}

TEST(ReplayWindowTest, CheckDoesNotMoveTheWindow) {
  ReplayWindow w(State(64), false);
  EXPECT_EQ(w.Check(1'000'000), kNone);
  EXPECT_EQ(w.highest(), 0u);
  EXPECT_EQ(Receive(&w, 1), kNone);
}

TEST(ReplayWindowTest, CommitRejectsWhatBecameADuplicateOrOldMeanwhile) {
  ReplayWindow w(State(64), false);
  EXPECT_EQ(w.Check(5), kNone);
  EXPECT_EQ(w.Check(5), kNone);
  EXPECT_EQ(w.Commit(5), kNone);
  EXPECT_EQ(w.Commit(5), kInReplayDuplicate);
  EXPECT_EQ(w.Check(6), kNone);
  EXPECT_EQ(w.Commit(500), kNone);
  EXPECT_EQ(w.Commit(6), kInReplayOld);
}

// A run of new numbers is checked without the lock: the commit is what counts.
TEST(ReplayWindowTest, CommitRejectsWhatControlTookAwayMeanwhile) {
  const std::vector<uint32_t> low = {101, 102, 103};
  const auto commit_after = [&](auto change) {
    ReplayState begin;
    begin.seq = 100;
    begin.window = 64;
    ReplayWindow window(begin, false);
    std::vector<uint64_t> seq(3);
    std::vector<DropReason> verdict(3, DropReason::kNone);
    window.CheckRun(low, seq, verdict);
    EXPECT_EQ(verdict, std::vector(3, DropReason::kNone));
    EXPECT_EQ(seq, (std::vector<uint64_t>{101, 102, 103}));
    change(&window);
    (void)window.CommitRun(seq, verdict);
    return verdict;
  };
  using enum DropReason;
  EXPECT_EQ(commit_after([](ReplayWindow* w) { w->Limit(102); }),
            (std::vector{kNone, kNone, kInHandOver}));
  EXPECT_EQ(commit_after([](ReplayWindow* w) { w->BeginAt(102); }),
            (std::vector{kInNumberUnknown, kInNumberUnknown, kNone}));
  EXPECT_EQ(commit_after([](ReplayWindow* w) { (void)w->SetMark(102, 102); }),
            (std::vector{kNone, kNone, kInNoNumbers}));
  EXPECT_EQ(commit_after([](ReplayWindow* w) { (void)w->Commit(102); }),
            (std::vector{kNone, kInReplayDuplicate, kNone}));
}

TEST(ReplayWindowTest, RunsSkipPacketsThatAreAlreadyDropped) {
  ReplayWindow w(State(64), false);
  const uint32_t low[] = {1, 2, 2, 3};
  uint64_t seq[4] = {};
  DropReason verdict[4] = {kNone, kInTruncated, kNone, kNone};
  w.CheckRun(low, seq, verdict);
  verdict[3] = kInAuthFailed;
  w.CommitRun(seq, verdict);
  EXPECT_EQ(verdict[1], kInTruncated);
  EXPECT_EQ(verdict[2], kNone);
  EXPECT_EQ(w.highest(), 2u);
  EXPECT_EQ(w.Check(3), kNone);
}

// --- ESN: RFC 4303, appendix A ---

struct EsnCase {
  const char* name;
  uint64_t top;
  uint32_t low;
  uint64_t expected;  // 0: below the first subspace
};

TEST(InferEsnTest, CasesOfAppendixA) {
  constexpr uint32_t kWindow = 64;
  const EsnCase cases[] = {
      // Case A: the window lies in one subspace.
      {"top itself", 1000, 1000, 1000},
      {"in the window", 1000, 937, 937},
      {"below the window: the next subspace", 1000, 936, 0x1'000003a8},
      {"ahead", 1000, 2000, 2000},
      {"far ahead", 1000, 0xffffffff, 0xffffffff},
      {"number zero of the next subspace", 0xffffffff, 0, 0x1'00000000},
      {"window just fits its subspace", 0x5'0000003f, 0, 0x5'00000000},
      // Case B: the window spans two subspaces.
      {"window's lowest in the old subspace", 0x5'0000003e, 0xffffffff, 0x4'ffffffff},
      {"old half of the window", 0x5'00000000, 0xffffffc1, 0x4'ffffffc1},
      {"just below the window", 0x5'00000000, 0xffffffc0, 0x5'ffffffc0},
      {"new half", 0x5'00000010, 0x00000008, 0x5'00000008},
      {"ahead in the new subspace", 0x5'00000010, 0x7fffffff, 0x5'7fffffff},
      {"nothing before the first subspace", 10, 0xfffffff0, 0},
      {"first packet", 0, 1, 1},
      {"first packet far ahead", 0, 0x80000000, 0x80000000},
  };
  for (const EsnCase& c : cases) {
    EXPECT_EQ(InferEsn(c.low, c.top, kWindow), c.expected) << c.name;
  }
}

// Both sides of each comparison in appendix A2.1, for the smallest and the largest windows, with Th
// = 5, Tl = top's low word, W = window. `low` is relative to the bottom Tl - W + 1.
TEST(InferEsnTest, EdgesOfAppendixA) {
  struct Edge {
    const char* name;
    uint32_t top_low;  // if `relative_top`: W - 1 + this, modulo 2^32
    bool relative_top;
    int64_t from_bottom;
    uint32_t high;
  };
  const Edge edges[] = {
      {"A: Tl = W - 1, bottom is 0", 0, true, 0, 5},
      {"A: Tl = W - 1, one below 0 is the last of the subspace: ahead", 0, true, -1, 5},
      {"A: Tl = W, at the bottom", 1, true, 0, 5},
      {"A: Tl = W, below the bottom", 1, true, -1, 6},
      {"A: middle, at the bottom", 0x80000000, false, 0, 5},
      {"A: middle, below the bottom", 0x80000000, false, -1, 6},
      {"A: end, at the bottom", 0xffffffff, false, 0, 5},
      {"A: end, below the bottom", 0xffffffff, false, -1, 6},
      {"B: Tl = W - 2, bottom is 2^32 - 1", 0xffffffff, true, 0, 4},
      {"B: Tl = W - 2, below the bottom", 0xffffffff, true, -1, 5},
      {"B: Tl = W - 2, first of the subspace", 0xffffffff, true, 1, 5},
      {"B: Tl = 0, at the bottom", 0, false, 0, 4},
      {"B: Tl = 0, below the bottom", 0, false, -1, 5},
  };
  for (const uint32_t window : {2u, 32u, 64u, 4096u, 65'535u, 65'536u}) {
    for (const Edge& e : edges) {
      const uint32_t top_low = e.relative_top ? window - 1 + e.top_low : e.top_low;
      const uint64_t top = uint64_t{5} << 32 | top_low;
      const uint32_t low = top_low - window + 1 + static_cast<uint32_t>(e.from_bottom);
      EXPECT_EQ(InferEsn(low, top, window), uint64_t{e.high} << 32 | low)
          << e.name << ", window " << window;
    }
  }
}

TEST(InferEsnTest, EveryNumberOfTheWindowAndHalfASubspaceAheadIsFound) {
  for (const uint32_t window : kWindows) {
    for (const uint64_t top :
         {uint64_t{0x1'00000000}, uint64_t{0x1'00000001}, uint64_t{0x1'00000000} + window - 1,
          uint64_t{0x1'00000000} + window, uint64_t{0x1'ffffffff}, uint64_t{0x7'80000000}}) {
      for (uint64_t back = 0; back < window; ++back) {
        ASSERT_EQ(InferEsn(static_cast<uint32_t>(top - back), top, window), top - back);
      }
      for (uint64_t ahead = 1; ahead < 0x80000000; ahead = ahead * 3 + 1) {
        ASSERT_EQ(InferEsn(static_cast<uint32_t>(top + ahead), top, window), top + ahead);
      }
    }
  }
}

TEST(ReplayWindowTest, EsnFirstPacketWithNumberZeroIsRefused) {
  ReplayWindow w(State(64), true);
  const uint32_t low = 0;
  uint64_t seq = 0;
  DropReason verdict = kNone;
  w.CheckRun({&low, 1}, {&seq, 1}, {&verdict, 1});
  EXPECT_EQ(verdict, kInReplayZero);
}

TEST(ReplayWindowTest, EsnNumberBeforeTheFirstSubspaceIsOld) {
  ReplayWindow w(State(64), true);
  EXPECT_EQ(w.Commit(10), kNone);
  const uint32_t low = 0xfffffff0;
  uint64_t seq = 0;
  DropReason verdict = kNone;
  w.CheckRun({&low, 1}, {&seq, 1}, {&verdict, 1});
  EXPECT_EQ(verdict, kInReplayOld);
}

TEST(ReplayWindowTest, EsnCrossesTheSubspaceBothWays) {
  for (const uint32_t size : kWindows) {
    ReplayWindow w(State(size, 0xffffffff - size), true);
    const auto receive = [&](uint32_t low) {
      uint64_t seq = 0;
      DropReason verdict = kNone;
      w.CheckRun({&low, 1}, {&seq, 1}, {&verdict, 1});
      if (verdict == kNone) w.CommitRun({&seq, 1}, {&verdict, 1});
      return std::pair(verdict, seq);
    };
    EXPECT_EQ(receive(0xffffffff), std::pair(kNone, uint64_t{0xffffffff})) << size;
    EXPECT_EQ(receive(0), std::pair(kNone, uint64_t{0x1'00000000})) << size;
    EXPECT_EQ(receive(1), std::pair(kNone, uint64_t{0x1'00000001})) << size;
    if (size < 4) continue;
    EXPECT_EQ(receive(0xfffffffe), std::pair(kNone, uint64_t{0xfffffffe})) << size;
    EXPECT_EQ(receive(0xffffffff).first, kInReplayDuplicate) << size;
    EXPECT_EQ(receive(0).first, kInReplayDuplicate) << size;
  }
}

// --- Against a set of numbers ---

RC_GTEST_PROP(ReplayWindowPropertyTest, AgreesWithASet, ()) {
  std::vector<uint32_t> sizes(std::begin(kWindows), std::end(kWindows));
  sizes.insert(sizes.end(), std::begin(kLargeWindows), std::end(kLargeWindows));
  const uint32_t size = *rc::gen::elementOf(sizes);
  const bool esn = *rc::gen::arbitrary<bool>();
  const uint64_t start = esn ? *rc::gen::elementOf(std::vector<uint64_t>{
                                   0, 1, 0xfffffff0, 0xffffffff, 0x1'00000000, 0x5'fffff800})
                             : *rc::gen::elementOf(std::vector<uint64_t>{0, 1, 63, 64, 0xfff00000});
  ReplayWindow w(State(size, start), esn);
  std::set<uint64_t> seen;
  uint64_t top = start;
  const int steps = *rc::gen::inRange(1, 400);
  for (int i = 0; i < steps; ++i) {
    // Mostly near the window's edges; sometimes far ahead.
    const int64_t span = static_cast<int64_t>(size) + 70;
    int64_t delta = *rc::gen::resize(100, rc::gen::inRange<int64_t>(-span, span));
    switch (*rc::gen::inRange(0, 40)) {
      case 0:
        delta = *rc::gen::inRange<int64_t>(1, 200'000);
        break;
      case 1:  // as far ahead as appendix A can distinguish from a late packet
        delta = *rc::gen::inRange<int64_t>(1, (int64_t{1} << 32) - size);
        break;
      case 2:  // across the next subspace
        delta = static_cast<int64_t>(0xffffffff - (top & 0xffffffff)) + *rc::gen::inRange(0, 3);
        if (delta > (int64_t{1} << 32) - size) continue;
        break;
      default:
        break;
    }
    if (delta < 0 && static_cast<uint64_t>(-delta) >= top) continue;
    const uint64_t seq = top + static_cast<uint64_t>(delta);
    if (seq == 0 || (!esn && seq > 0xffffffff)) continue;
    const uint32_t low = static_cast<uint32_t>(seq);
    uint64_t inferred = 0;
    DropReason verdict = kNone;
    w.CheckRun({&low, 1}, {&inferred, 1}, {&verdict, 1});

    DropReason expected = kNone;
    if (seq + size <= top) {
      // Too old. With ESN the same low word means a number of the next subspace, whose ICV cannot
      // be valid, so the window gives no verdict.
      expected = kInReplayOld;
    } else if (seen.contains(seq)) {
      expected = kInReplayDuplicate;
    }
    if (esn && expected == kInReplayOld) {
      RC_ASSERT(inferred != seq);
      continue;
    }
    RC_ASSERT(verdict == expected);
    if (verdict != kNone) continue;
    RC_ASSERT(inferred == seq);
    if (*rc::gen::inRange(0, 8) == 0) continue;  // its ICV failed: never committed
    RC_ASSERT(w.Commit(seq) == kNone);
    seen.insert(seq);
    top = std::max(top, seq);
    RC_ASSERT(w.highest() == top);
  }
}

RC_GTEST_PROP(ReplayWindowPropertyTest, ExportAndImportKeepEveryAnswer, ()) {
  const uint32_t size = *rc::gen::elementOf(std::vector<uint32_t>{1, 32, 64, 96, 128, 1024, 4096});
  const bool extended = size > 32 || *rc::gen::arbitrary<bool>();
  const uint64_t start =
      *rc::gen::elementOf(std::vector<uint64_t>{0, 1000, 0xfffffff0, 0x3'00000005});
  ReplayWindow first(State(size, start, extended), true);
  uint64_t top = start;
  for (const uint16_t step :
       *rc::gen::container<std::vector<uint16_t>>(rc::gen::inRange<uint16_t>(0, 300))) {
    const uint64_t seq = top + 40 > step ? top + 40 - step : 1;
    if (first.Commit(seq) == kNone) top = std::max(top, seq);
  }
  const ReplayState state = first.Export(77);
  RC_ASSERT(state.oseq == 77u);
  RC_ASSERT(state.seq == top);
  RC_ASSERT(state.window == size);
  RC_ASSERT(state.bitmap.size() == (extended ? (size + 31) / 32 : 1u));
  ReplayWindow second(state, true);
  RC_ASSERT(second.Export(77) == state);
  for (uint64_t back = 0; back < size + 2 && back < top; ++back) {
    RC_ASSERT(second.Check(top - back) == first.Check(top - back));
  }
}

// --- The kernel's layout ---

TEST(ReplayExportTest, LegacyFormHasTheTopInBitZero) {
  ReplayWindow w(State(32, 0, false), false);
  for (const uint64_t seq : {100u, 99u, 97u, 69u}) w.Commit(seq);
  const ReplayState s = w.Export(5);
  EXPECT_EQ(s.seq, 100u);
  EXPECT_EQ(s.oseq, 5u);
  ASSERT_EQ(s.bitmap.size(), 1u);
  EXPECT_EQ(s.bitmap[0], 1u | 1u << 1 | 1u << 3 | 1u << 31);
}

TEST(ReplayExportTest, LegacyFormReadsWhatAKernelWrote) {
  ReplayState s = State(32, 100, false);
  s.bitmap = {1u | 1u << 3};
  ReplayWindow w(s, false);
  EXPECT_EQ(w.Check(100), kInReplayDuplicate);
  EXPECT_EQ(w.Check(99), kNone);
  EXPECT_EQ(w.Check(97), kInReplayDuplicate);
  EXPECT_EQ(w.Check(69), kNone);
  EXPECT_EQ(w.Check(68), kInReplayOld);
}

TEST(ReplayExportTest, ExtendedFormHasNumberSAtSMinusOneModuloTheWindow) {
  ReplayWindow w(State(128), false);
  for (const uint64_t seq : {1u, 33u, 128u, 129u, 200u}) w.Commit(seq);
  const ReplayState s = w.Export(0);
  ASSERT_EQ(s.bitmap.size(), 4u);
  // 128 → bit 127, 129 → bit 0, 200 → bit 71; 1 and 33 have left the window.
  EXPECT_EQ(s.bitmap, (std::vector<uint32_t>{1u, 0u, 1u << 7, 1u << 31}));
}

TEST(ReplayExportTest, BitmapShorterThanTheWindowIsNotOverrun) {
  ReplayState s = State(64, 100);
  s.bitmap = {0xffffffff};
  ReplayWindow w(s, false);
  EXPECT_EQ(w.Export(0).bitmap.size(), 1u);
}

TEST(ReplayWindowTest, WhoTakesOverKnowsEverythingAndTheOtherTakesNothing) {
  for (const uint32_t size : kWindows) {
    ReplayWindow from(State(size), false);
    for (const uint64_t seq : {1u, 2u, 5u, 70u}) (void)from.Commit(seq);
    ReplayWindow to(State(size), false);
    to.TakeOver(from);
    EXPECT_EQ(to.highest(), 70u);
    EXPECT_EQ(to.Commit(70), kInReplayDuplicate);
    EXPECT_EQ(to.Commit(71), kNone);
    EXPECT_EQ(from.Commit(72), kInReplayOld);
    EXPECT_EQ(from.highest(), 70u);
  }
}

// --- A device has a part of the numbers ---

TEST(ReplayWindowTest, NumbersAboveTheLimitAreNotAcceptedHere) {
  ReplayWindow w(State(64), false);
  EXPECT_EQ(Receive(&w, 5), kNone);
  w.Limit(10);
  EXPECT_EQ(Receive(&w, 10), kNone);
  EXPECT_EQ(Receive(&w, 11), kInHandOver);
  EXPECT_EQ(w.Commit(12), kInHandOver) << "nor if it was opened already";
  EXPECT_EQ(w.highest(), 10u);
}

// Whatever each of the two accepted: afterwards none is accepted again, and those in the window
// that neither saw are.
TEST(ReplayWindowTest, MergeKnowsWhatBothAccepted) {
  for (const uint32_t size : {32u, 33u, 64u, 100u, 1000u}) {
    ReplayWindow own(State(size), false);
    for (const uint64_t seq : {90u, 97u, 99u}) (void)own.Commit(seq);
    own.Limit(100);
    ReplayWindow device(State(size, 100), false);
    std::set<uint64_t> seen = {90, 97, 99};
    for (const uint64_t seq : {101u, 103u, 104u, 120u}) {
      (void)device.Commit(seq);
      seen.insert(seq);
    }
    const ReplayState state = device.Export(0);
    own.Merge(state.seq, state.bitmap.words());
    EXPECT_EQ(own.highest(), 120u);
    for (uint64_t seq = 121 - std::min<uint64_t>(size, 120); seq <= 130; ++seq) {
      if (seq == 0) continue;
      EXPECT_EQ(own.Check(seq), seen.contains(seq) ? kInReplayDuplicate : kNone)
          << size << ' ' << seq;
    }
  }
}

TEST(ReplayWindowTest, MergeWithADeviceThatAcceptedNothing) {
  ReplayWindow w(State(64), false);
  (void)w.Commit(7);
  w.Limit(50);
  w.Merge(50, {});
  EXPECT_EQ(w.highest(), 7u);
  EXPECT_EQ(Receive(&w, 51), kNone);
}

TEST(ReplayWindowTest, WhatALostDeviceMayHaveAcceptedIsRefused) {
  ReplayWindow w(State(64), true);
  (void)w.Commit(7);
  w.Limit(7);
  w.GiveUp(500, 1000);
  EXPECT_EQ(w.safe_edge(), 1000u);
  EXPECT_EQ(Receive(&w, 8), kInNumberUnknown);
  EXPECT_EQ(Receive(&w, 1000), kInNumberUnknown);
  EXPECT_EQ(Receive(&w, 1001), kNone);
  EXPECT_EQ(Receive(&w, 1001), kInReplayDuplicate);
  EXPECT_EQ(Receive(&w, 1003), kNone);
  EXPECT_EQ(Receive(&w, 1002), kNone);
}

TEST(ReplayWindowTest, WithoutAWindowNothingIsRefusedAfterALoss) {
  ReplayWindow w(State(0), false);
  w.Limit(7);
  EXPECT_EQ(w.Check(8), kInHandOver);
  w.GiveUp(500, 1000);
  EXPECT_EQ(Receive(&w, 8), kNone);
}

// --- Numbers that outlive the process (control/numbers) ---

TEST(ReplayWindowTest, BeginsAtAnEdgeAndRefusesWhatIsBelow) {
  ReplayWindow w({.window = 64, .bitmap = {}}, false);
  w.BeginAt(100);
  EXPECT_EQ(w.highest(), 100u);
  EXPECT_EQ(w.Check(100), DropReason::kInNumberUnknown);
  EXPECT_EQ(w.Commit(99), DropReason::kInNumberUnknown);
  EXPECT_EQ(w.Commit(101), kNone);
  EXPECT_EQ(w.Commit(101), DropReason::kInReplayDuplicate);
}

TEST(ReplayWindowTest, TheEdgeOfAnEsnWindowGivesTheHighWord) {
  ReplayWindow w({.window = 64, .extended_form = true, .bitmap = {0, 0}}, true);
  w.BeginAt(0x3'0000'0100);
  EXPECT_EQ(w.InferHigh(0x101), 0x3'0000'0101u);
}

TEST(ReplayWindowTest, NothingAboveTheMarkIsAcceptedAndItIsAskedForOnce) {
  ReplayWindow w({.window = 64, .bitmap = {}}, false);
  EXPECT_EQ(w.SetMark(8, 4), 8u);
  const auto commit = [&w](uint64_t seq, DropReason expected) {
    DropReason verdict = kNone;
    const NumbersLeft left = w.CommitRun({&seq, 1}, {&verdict, 1});
    EXPECT_EQ(verdict, expected) << seq;
    return left;
  };
  EXPECT_EQ(commit(3, kNone), NumbersLeft::kEnough);
  EXPECT_EQ(commit(4, kNone), NumbersLeft::kLow);
  EXPECT_EQ(commit(5, kNone), NumbersLeft::kEnough) << "once";
  EXPECT_EQ(w.Check(20), kNone) << "before authentication nothing is known of it";
  EXPECT_EQ(commit(20, DropReason::kInNoNumbers), NumbersLeft::kLow);
  EXPECT_EQ(commit(21, DropReason::kInNoNumbers), NumbersLeft::kEnough);
  EXPECT_EQ(w.highest(), 5u);
  EXPECT_EQ(w.wanted(), 21u);
  EXPECT_EQ(w.SetMark(32, 30), 32u);
  EXPECT_EQ(commit(20, kNone), NumbersLeft::kEnough);
  EXPECT_EQ(w.SetMark(1, 1), 20u) << "not below what it has accepted";
}

TEST(ReplayWindowTest, TheCellHasTheNewestNumber) {
  std::atomic<uint64_t> cell{0};
  ReplayWindow w({.window = 64, .bitmap = {}}, false);
  w.SetCell(&cell);
  EXPECT_EQ(w.Commit(7), kNone);
  EXPECT_EQ(cell.load(), 7u);
  EXPECT_EQ(w.Commit(5), kNone);
  EXPECT_EQ(cell.load(), 7u);
  w.GiveUp(9, 30);
  EXPECT_EQ(cell.load(), 30u) << "a lost device may have accepted them";
  ReplayWindow next({.window = 64, .bitmap = {}}, false);
  std::atomic<uint64_t> other{0};
  next.SetCell(&other);
  next.TakeOver(w);
  EXPECT_EQ(other.load(), 30u);
}

TEST(ReplayWindowTest, TheCellCoversWhatADeviceMayAccept) {
  std::atomic<uint64_t> cell{0};
  ReplayWindow w({.window = 64, .bitmap = {}}, false);
  w.SetCell(&cell);
  w.Limit(10);
  w.Lend(500);
  EXPECT_EQ(cell.load(), 500u);
  EXPECT_EQ(w.Commit(7), kNone);
  EXPECT_EQ(cell.load(), 500u) << "the device still has them";
  w.Merge(10, {});
  EXPECT_EQ(cell.load(), 7u) << "it accepted none";
  w.Limit(20);
  w.Lend(600);
  w.Limit(~uint64_t{0});  // it never got them
  EXPECT_EQ(w.Commit(8), kNone);
  EXPECT_EQ(cell.load(), 8u);
}

}  // namespace
}  // namespace cygnet
