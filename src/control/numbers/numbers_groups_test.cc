// Groups: SAs that several nodes hold and one of them uses. Two nodes have one store.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "control/numbers/numbers.h"
#include "support/memory_number_store.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MemoryNumberStore;
constexpr uint64_t kBlock = NumberSizes().smallest_block;
constexpr uint64_t kStep = NumberSizes().smallest_step;  // of a group that wakes
constexpr uint32_t kGroup = 1;

// Each look at it takes `step_ns`.
class SteppingClock final : public Clock {
 public:
  uint64_t WallSeconds() const override { return 1'700'000'000; }
  uint64_t MonotonicNs() const override { return now_ += step_ns; }
  uint64_t step_ns = 1000;

 private:
  mutable uint64_t now_ = 1'000'000'000;
};

struct Node {
  Node(MemoryNumberStore::Content* content, const Clock* clock, const NumberSizes& sizes)
      : store(content), numbers(&store, clock, {}, sizes) {
    store.group = kGroup;
  }
  SaPtr Begin(uint32_t spi = 1) {
    SaSpec spec = test::MakeSpec({.spi = spi});
    const auto identity = numbers.Identify(spec);
    auto sa = MakeSharedSa(std::move(spec), uint64_t{1}, (*identity)->iv_mask);
    sa->number = spi;
    if (!numbers.Begin(sa, *identity)) return nullptr;
    numbers.Attach(sa);
    return sa;
  }
  uint64_t Send(Sa* sa) {
    const SequenceRange range = sa->outbound()->sequence.Reserve(1);
    if (range.low) numbers.OnLow(*sa);
    return range.count == 0 ? 0 : range.first;
  }
  DropReason Receive(Sa* sa, uint64_t seq) {
    DropReason verdict = sa->inbound()->replay.Check(seq);
    if (sa->inbound()->replay.CommitRun({&seq, 1}, {&verdict, 1}) == NumbersLeft::kLow) {
      numbers.OnLow(*sa);
    }
    return verdict;
  }
  void Wake() {
    numbers.Wake(kGroup);
    while (numbers.DoSome()) {
    }
  }

  MemoryNumberStore store;
  Numbers numbers;
};

class NumberGroupsTest : public testing::Test {
 protected:
  std::unique_ptr<Node> MakeNode(const NumberSizes& sizes = {}) {
    return std::make_unique<Node>(&content_, &clock_, sizes);
  }
  SteppingClock clock_;
  MemoryNumberStore::Content content_;
};

TEST_F(NumberGroupsTest, AnSaOfAnotherNodesGroupIsInstalledAndMute) {
  const auto node = MakeNode();
  node->store.is_owner = false;
  const auto sa = node->Begin();
  ASSERT_NE(sa, nullptr);
  EXPECT_EQ(node->store.steps, 0) << "the store was not asked";
  EXPECT_EQ(node->Send(sa.get()), 0u);
  EXPECT_FALSE(sa->outbound()->sequence.exhausted());
  EXPECT_EQ(node->Receive(sa.get(), 1), DropReason::kInNoNumbers);
  node->numbers.Tick();
  EXPECT_EQ(node->Send(sa.get()), 0u);
  EXPECT_EQ(node->numbers.CountsOf(kGroup).sas, 1u);
  EXPECT_TRUE(node->numbers.CountsOf(kGroup).mute);
}

TEST_F(NumberGroupsTest, ATakeOverContinuesBehindAllThatTheOwnerBeforeMayHaveUsed) {
  const auto a = MakeNode();
  const auto b = MakeNode();
  const auto sa_a = a->Begin();
  const auto sa_b = b->Begin();
  a->Wake();
  EXPECT_EQ(a->Send(sa_a.get()), 1u);
  EXPECT_EQ(a->Receive(sa_a.get(), 7), DropReason::kNone);
  b->Wake();  // a is a zombie
  EXPECT_EQ(b->Send(sa_b.get()), kBlock + 1);
  EXPECT_EQ(b->Receive(sa_b.get(), 8), DropReason::kInNumberUnknown);
  EXPECT_EQ(b->Receive(sa_b.get(), kStep + 1), DropReason::kNone);
  EXPECT_EQ(a->Receive(sa_a.get(), kStep + 1), DropReason::kInNoNumbers);
  EXPECT_EQ(a->Receive(sa_a.get(), kStep), DropReason::kNone) << "what it had is its own";
}

TEST_F(NumberGroupsTest, AnOrderlyMoveLeavesNoGap) {
  const auto a = MakeNode();
  const auto b = MakeNode();
  const auto sa_a = a->Begin();
  const auto sa_b = b->Begin();
  a->Wake();
  for (int i = 0; i < 10; ++i) (void)a->Send(sa_a.get());
  EXPECT_EQ(a->Receive(sa_a.get(), 5), DropReason::kNone);
  a->numbers.Mute(kGroup);
  EXPECT_EQ(a->Send(sa_a.get()), 0u);
  EXPECT_EQ(a->Receive(sa_a.get(), 6), DropReason::kInNoNumbers);
  ASSERT_TRUE(a->numbers.ReturnUnused(kGroup, {}));
  b->Wake();
  EXPECT_EQ(b->Send(sa_b.get()), 11u);
  EXPECT_EQ(b->Receive(sa_b.get(), 5), DropReason::kInNumberUnknown);
  EXPECT_EQ(b->Receive(sa_b.get(), 6), DropReason::kNone);
  // And back.
  b->numbers.Mute(kGroup);
  ASSERT_TRUE(b->numbers.ReturnUnused(kGroup, {}));
  a->Wake();
  EXPECT_GT(a->Send(sa_a.get()), 11u);
  EXPECT_EQ(a->Receive(sa_a.get(), 6), DropReason::kInNumberUnknown);
  EXPECT_EQ(a->Receive(sa_a.get(), 7), DropReason::kNone);
}

TEST_F(NumberGroupsTest, MuteIsExactWhileWorkersSend) {
  const auto a = MakeNode();
  const auto sa = a->Begin();
  a->Wake();
  std::atomic<uint64_t> sent{0};
  std::atomic<bool> end{false};
  std::thread worker([&] {
    while (!end.load()) {
      const SequenceRange range = sa->outbound()->sequence.Reserve(3);
      if (range.count != 0) sent.store(range.first + range.count - 1);
    }
  });
  while (sent.load() < 100) std::this_thread::yield();
  a->numbers.Mute(kGroup);
  ASSERT_TRUE(a->numbers.ReturnUnused(kGroup, {}));
  end.store(true);
  worker.join();
  EXPECT_EQ(content_.given.begin()->second, sent.load());
}

TEST_F(NumberGroupsTest, TheStoreSaysThatAnotherNodeOwnsTheGroup) {
  const auto a = MakeNode();
  const auto sa = a->Begin();
  std::vector<uint32_t> told;
  a->numbers.OnNotOwner([&told](uint32_t group) { told.push_back(group); });
  a->Wake();
  a->store.is_owner = false;
  while (a->Send(sa.get()) < kBlock / 2) {
  }
  (void)a->numbers.DoSome();
  EXPECT_EQ(told, (std::vector<uint32_t>{kGroup}));
  EXPECT_EQ(a->Send(sa.get()), 0u) << "also not from its block";
  EXPECT_NE(a->Begin(2), nullptr);
  a->store.is_owner = true;
  a->Wake();
  EXPECT_EQ(a->Send(sa.get()), kBlock + 1);
}

TEST_F(NumberGroupsTest, AWakeOfManyTakesFewStepsAndThoseWithTrafficComeFirst) {
  const auto a = MakeNode();
  std::vector<SaPtr> all;
  for (uint32_t spi = 1; spi <= 1000; ++spi) all.push_back(a->Begin(spi));
  EXPECT_EQ(a->Send(all[998].get()), 0u);  // a packet came before the numbers
  a->numbers.Wake(kGroup);
  clock_.step_ns = 50'000'000;  // one step of the store in each turn
  EXPECT_TRUE(a->numbers.DoSome());
  EXPECT_NE(a->Send(all[998].get()), 0u);
  EXPECT_EQ(a->Send(all[997].get()), 0u);
  while (a->Send(all[997].get()) == 0) ASSERT_TRUE(a->numbers.DoSome());
  clock_.step_ns = 1000;
  while (a->numbers.DoSome()) {
  }
  EXPECT_EQ(a->numbers.CountsOf(kGroup).waiting, 0u);
  EXPECT_LE(a->store.steps, 12);
}

TEST_F(NumberGroupsTest, AStoreThatIsAwayDelaysAWake) {
  const auto a = MakeNode();
  const auto sa = a->Begin();
  a->store.answer = MemoryNumberStore::Answer::kRefused;
  a->Wake();
  EXPECT_EQ(a->Send(sa.get()), 0u);
  EXPECT_EQ(a->numbers.CountsOf(kGroup).waiting, 1u);
  a->store.answer = MemoryNumberStore::Answer::kGiven;
  a->numbers.Tick();
  EXPECT_EQ(a->Send(sa.get()), 1u);
}

TEST_F(NumberGroupsTest, AfterAStoreWentBackSasGetNoNumber) {
  const auto a = MakeNode();
  const auto sa = a->Begin();
  a->Wake();
  EXPECT_EQ(a->Send(sa.get()), 1u);
  a->numbers.MuteForever();
  EXPECT_EQ(a->Send(sa.get()), 0u);
  a->numbers.Mute(kGroup);
  a->Wake();
  a->numbers.Tick();
  EXPECT_EQ(a->Send(sa.get()), 0u);
  EXPECT_EQ(a->Receive(sa.get(), 1), DropReason::kInNoNumbers);
  const auto next = a->Begin(2);
  EXPECT_NE(a->Send(next.get()), 0u) << "a new key has a new counter";
}

TEST_F(NumberGroupsTest, WithCheckpointsANewOwnerBeginsBehindTheLastReport) {
  const NumberSizes sizes{.group_marks = GroupMarks::kReported};
  const auto a = MakeNode(sizes);
  const auto b = MakeNode(sizes);
  const auto sa_a = a->Begin();
  const auto sa_b = b->Begin();
  a->Wake();
  EXPECT_EQ(a->Receive(sa_a.get(), 900'000), DropReason::kNone) << "no mark stops it";
  a->numbers.Report();
  EXPECT_EQ(a->Receive(sa_a.get(), 900'005), DropReason::kNone);
  b->Wake();
  EXPECT_EQ(b->Receive(sa_b.get(), 900'000), DropReason::kInNumberUnknown);
  EXPECT_EQ(b->Receive(sa_b.get(), 900'001), DropReason::kNone);
  EXPECT_EQ(b->Receive(sa_b.get(), 900'005), DropReason::kNone) << "accepted twice, as documented";
  b->numbers.Mute(kGroup);
  EXPECT_EQ(b->Receive(sa_b.get(), 900'006), DropReason::kInNoNumbers);
  ASSERT_TRUE(b->numbers.ReturnUnused(kGroup, {}));
  EXPECT_EQ(content_.marks.begin()->second, 900'005u) << "an orderly end reports all";
}

}  // namespace
}  // namespace cygnet
