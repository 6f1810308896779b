// Windows wider than the client's, and the reports about late packets.
#include "sa/lateness.h"

#include <gtest/gtest.h>

#include "sa/replay_window.h"

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

// --- A window wider than the client's ---

TEST(ReplayWindowTest, AtLeastWidensWhatWasAskedButNotNothing) {
  struct Case {
    uint32_t asked;
    uint32_t at_least;
    uint32_t window;
  };
  for (const Case& c : {Case{0, 1000, 0},
                        {64, 0, 64},
                        {64, 32, 64},
                        {64, 1000, 1000},
                        {4096, 65'536, 65'536},
                        {64, 65'537, 65'536},
                        {64, 0xffffffff, 65'536}}) {
    ReplayWindow w(State(c.asked), false, c.at_least);
    EXPECT_EQ(w.window(), c.window);
    if (c.window == 0) continue;
    EXPECT_EQ(Receive(&w, 1'000'000), kNone);
    EXPECT_EQ(Receive(&w, 1'000'000 - c.window + 1), kNone) << c.asked << " " << c.at_least;
    EXPECT_EQ(Receive(&w, 1'000'000 - c.window), kInReplayOld) << c.asked << " " << c.at_least;
  }
}

// Numbers between the client's bitmap and the wider window may have been seen before.
TEST(ReplayWindowTest, WidenedWindowTakesNothingOlderThanTheClientsBitmap) {
  for (const bool extended : {false, true}) {
    ReplayWindow w(State(32, 1000, extended), false, 4096);
    EXPECT_EQ(w.Check(969), kNone);
    EXPECT_EQ(w.Check(968), kInReplayOld);
    EXPECT_EQ(w.Check(1), kInReplayOld);
    ASSERT_EQ(Receive(&w, 3000), kNone);
    EXPECT_EQ(w.Check(1001), kNone);
    EXPECT_EQ(w.Check(969), kNone);
    EXPECT_EQ(w.Check(968), kInReplayOld);
  }
}

TEST(ReplayWindowTest, WidenedWindowIsExportedAsTheClientAskedForIt) {
  for (const bool extended : {false, true}) {
    ReplayWindow plain(State(32, 0, extended), true);
    ReplayWindow wide(State(32, 0, extended), true, 65'536);
    for (const uint64_t seq : {40u, 1u, 9u, 33u, 100u, 69u, 68u, 99u}) {
      plain.Commit(seq);
      wide.Commit(seq);
    }
    EXPECT_EQ(wide.Export(7), plain.Export(7));
    EXPECT_EQ(wide.Check(68), kInReplayDuplicate);
    EXPECT_EQ(plain.Check(68), kInReplayOld);
  }
}

// The client's window alone would infer the next subspace for late packets of the previous one.
TEST(ReplayWindowTest, WidenedWindowInfersLateNumbers) {
  ReplayWindow plain(State(64, 0x5'00000010), true);
  ReplayWindow wide(State(64, 0x5'00000010), true, 4096);
  EXPECT_EQ(plain.InferHigh(0xfffff800), 0x5'fffff800u);
  EXPECT_EQ(wide.InferHigh(0xfffff800), 0x4'fffff800u);
}

// --- Lateness ---

TEST(LatenessTest, BucketsArePowersOfTwo) {
  struct Case {
    uint64_t late;
    std::size_t bucket;
  };
  for (const Case& c : {Case{0, 0},
                        {1, 1},
                        {2, 2},
                        {3, 2},
                        {4, 3},
                        {7, 3},
                        {8, 4},
                        {32'767, 15},
                        {32'768, 16},
                        {65'535, 16},
                        {65'536, 17},
                        {uint64_t{1} << 40, 17}}) {
    EXPECT_EQ(LatenessBucket(c.late), c.bucket) << c.late;
  }
}

TEST(LatenessTest, OnlyPacketsBehindTheNewestAreCounted) {
  ReplayWindow w(State(64), false);
  for (const uint64_t seq : {1u, 2u, 100u, 99u, 99u, 97u, 60u, 101u}) Receive(&w, seq);
  LatenessHistogram expected;
  expected.accepted[1] = 1;  // 99, once: a duplicate is not counted
  expected.accepted[2] = 1;  // 97
  expected.accepted[6] = 1;  // 60
  EXPECT_EQ(w.lateness(), expected);
  EXPECT_EQ(w.lateness().WindowForAll(), 64u);
}

TEST(LatenessTest, RejectedOnesAreCountedBeforeAndAfterAuthentication) {
  ReplayWindow w(State(64), false);
  w.Commit(1000);
  const uint32_t low[] = {900, 1001, 990, 990};
  uint64_t seq[4] = {};
  DropReason verdict[4] = {kNone, kNone, kNone, kInTruncated};
  w.CheckRun(low, seq, verdict);
  EXPECT_EQ(verdict[0], kInReplayOld);
  w.Commit(2000);
  w.CommitRun(seq, verdict);
  EXPECT_EQ(verdict[1], kInReplayOld);
  EXPECT_EQ(verdict[2], kInReplayOld);
  LatenessHistogram expected;
  expected.rejected[7] = 1;   // 100 late
  expected.rejected[10] = 2;  // 999 and 1010
  EXPECT_EQ(w.lateness(), expected);
  EXPECT_EQ(w.lateness().WindowForAll(), 1024u);
}

TEST(LatenessTest, WindowForAllTakesThemAll) {
  EXPECT_EQ(LatenessHistogram{}.WindowForAll(), 1u);
  for (const uint64_t late : {1u, 2u, 3u, 4u, 64u, 1000u, 32'768u, 65'535u}) {
    ReplayWindow narrow(State(1), false);
    narrow.Commit(100'000);
    const auto low = static_cast<uint32_t>(100'000 - late);
    uint64_t seq = 0;
    DropReason verdict = kNone;
    narrow.CheckRun({&low, 1}, {&seq, 1}, {&verdict, 1});
    ASSERT_EQ(verdict, kInReplayOld);
    const uint32_t enough = narrow.lateness().WindowForAll();
    ReplayWindow wide(State(1), false, enough);
    wide.Commit(100'000);
    EXPECT_EQ(Receive(&wide, low), kNone) << late;
    if (late > 1) {
      EXPECT_LE(enough / 2, late);
    }
  }
}

// --- ICV failures that may come from a wrong inference ---

TEST(MayBeLateTest, JumpOfHalfASubspaceOrMore) {
  struct Case {
    const char* name;
    uint64_t top;
    uint32_t low;
    bool late;
    std::size_t bucket;
  };
  const Case cases[] = {
      {"just behind the window", 0x5'00010000, 0x0000ffc0, true, 7},
      {"far behind the window", 0x5'00100000, 0x00000001, true, 17},
      {"half a subspace behind", 0x5'90000000, 0x10000000, true, 17},
      {"nearer to the future", 0x5'90000000, 0x0fffffff, false, 0},
      {"behind, in the subspace before", 0x5'00000000, 0xffffff00, true, 9},
      {"ahead", 0x5'00010000, 0x00010001, false, 0},
      {"far ahead", 0x5'00010000, 0x7fff0000, false, 0},
      {"in the window", 0x5'00010000, 0x0000fff0, false, 0},
      {"nothing before the first subspace", 10, 0xfffffff0, false, 0},
      {"behind the window of the first subspace", 0x00010000, 0x00000100, true, 16},
      {"number 0 was never sent", 0x00010000, 0, false, 0},
  };
  for (const Case& c : cases) {
    ReplayWindow w(State(64, c.top), true);
    const uint64_t inferred = w.InferHigh(c.low);
    EXPECT_EQ(w.MayBeLate(c.low, inferred), c.late) << c.name;
    LatenessHistogram expected;
    if (c.late) expected.rejected[c.bucket] = 1;
    EXPECT_EQ(w.lateness(), expected) << c.name;
    EXPECT_EQ(w.highest(), c.top) << c.name;
  }
}

// Numbers that the inference cannot have produced are not late packets.
TEST(MayBeLateTest, OnlyWhatTheInferenceGives) {
  ReplayWindow w(State(64, 0x5'00010000), true);
  EXPECT_FALSE(w.MayBeLate(1, 0x6'00000002));  // another low word
  EXPECT_FALSE(w.MayBeLate(1, 0x7'00000001));  // more than a subspace ahead
  EXPECT_FALSE(w.MayBeLate(1, 0x5'00000001));  // not ahead
  EXPECT_EQ(w.lateness(), LatenessHistogram{});
}

TEST(MayBeLateTest, WithoutEsnNothingIsGuessed) {
  ReplayWindow w(State(64, 0xf0000000), false);
  EXPECT_FALSE(w.MayBeLate(1, 0x1'00000001));
}

}  // namespace
}  // namespace cygnet
