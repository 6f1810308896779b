// A run is checked and committed at once. The result is that of its packets one by one, for runs
// that only rise (the short way) as for others.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "sa/replay_window.h"

namespace cygnet {
namespace {

using enum DropReason;

struct Case {
  uint32_t window;
  bool esn;
  uint64_t first;  // number before the first packet
};

ReplayState Begin(const Case& c) {
  ReplayState state;
  state.window = c.window;
  state.seq = c.first;
  state.extended_form = true;
  state.bitmap.assign((c.window + 31) / 32, 0);
  return state;
}

// Numbers of a run: mostly the next ones, sometimes a jump, an old one or one twice.
std::vector<uint64_t> NextRun(uint64_t top, uint32_t window, std::mt19937* random) {
  std::vector<uint64_t> run;
  const uint32_t size = (*random)() % 64 + 1;
  const bool only_rises = (*random)() % 2 == 0;
  for (uint32_t i = 0; i < size; ++i) {
    const uint32_t what = (*random)() % 16;
    uint64_t seq = top + 1;
    if (what == 0) seq = top + (*random)() % (3 * window + 2) + 1;
    if (what == 1 && !only_rises)
      seq = top - std::min<uint64_t>(top, (*random)() % (2 * window + 2));
    if (what == 2 && !only_rises && !run.empty()) seq = run.back();
    run.push_back(seq);
    top = std::max(top, seq);
  }
  return run;
}

// The verdicts of both windows, and the numbers that a run infers.
void ExpectSame(ReplayWindow* by_run, ReplayWindow* one_by_one, const std::vector<uint64_t>& run) {
  const std::size_t n = run.size();
  std::vector<uint32_t> low(run.begin(), run.end());
  std::vector<uint64_t> seq(n);
  std::vector<DropReason> verdict(n, kNone);
  by_run->CheckRun(low, seq, verdict);
  std::vector<DropReason> expected(n, kNone);
  for (std::size_t i = 0; i < n; ++i) {
    const uint64_t inferred = one_by_one->InferHigh(low[i]);
    expected[i] = one_by_one->Check(inferred);
    if (inferred == 0 && low[i] != 0) expected[i] = kInReplayOld;
    EXPECT_EQ(verdict[i], expected[i]) << i;
    EXPECT_EQ(seq[i], inferred) << i;
  }
  (void)by_run->CommitRun(seq, verdict);
  for (std::size_t i = 0; i < n; ++i) {
    if (expected[i] == kNone) expected[i] = one_by_one->Commit(seq[i]);
    EXPECT_EQ(verdict[i], expected[i]) << i;
  }
  EXPECT_EQ(by_run->highest(), one_by_one->highest());
  EXPECT_EQ(by_run->Export(0), one_by_one->Export(0));
}

TEST(ReplayRunsTest, RunDoesWhatItsPacketsDoOneByOne) {
  constexpr uint64_t kSubspace = uint64_t{1} << 32;
  std::mt19937 random(5);
  for (const uint32_t window : {0u, 1u, 32u, 64u, 100u, 128u, 1024u}) {
    for (const bool esn : {false, true}) {
      for (const uint64_t first : {uint64_t{0}, uint64_t{50}, kSubspace - 2000, kSubspace + 20}) {
        if (!esn && first > kSubspace / 2) continue;  // the low word would wrap
        SCOPED_TRACE(testing::Message() << window << " esn " << esn << " from " << first);
        const Case c{window, esn, first};
        ReplayWindow by_run(Begin(c), esn);
        ReplayWindow one_by_one(Begin(c), esn);
        for (int i = 0; i < 100 && !testing::Test::HasFailure(); ++i) {
          ExpectSame(&by_run, &one_by_one, NextRun(by_run.highest(), window, &random));
        }
      }
    }
  }
}

// Numbers above the limit belong to a device.
TEST(ReplayRunsTest, RisingRunStopsAtALimit) {
  ReplayWindow by_run(Begin({64, false, 0}), false);
  ReplayWindow one_by_one(Begin({64, false, 0}), false);
  by_run.Limit(10);
  one_by_one.Limit(10);
  ExpectSame(&by_run, &one_by_one, {1, 2, 3, 9, 10, 11, 12});
  EXPECT_EQ(by_run.highest(), 10u);
}

}  // namespace
}  // namespace cygnet
