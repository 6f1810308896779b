#include "daemon/store/memory_numbers.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <memory>
#include <utility>

#include "daemon/store/kept_sas.h"
#include "support/control_plane_fixture.h"

namespace cygnet {
namespace {

// `key`: the SPI whose test key it has.
SaSpec With(uint32_t spi, uint32_t key) {
  SaSpec spec = test::MakeSpec({.spi = spi});
  spec.aead.key = test::MakeSpec({.spi = key}).aead.key.Clone();
  return spec;
}

// What a killed process leaves.
std::unique_ptr<MemoryNumbers> Killed(const MemoryNumbers& numbers) {
  return *MemoryNumbers::Adopt(UniqueFd(fcntl(numbers.fd(), F_DUPFD_CLOEXEC, 0)));
}

TEST(MemoryNumbersTest, AKeyMeetsItsCounterUnderEachSpiAndInEachProcess) {
  auto first = *MemoryNumbers::Create(8);
  const NumberIdentity one = *first->Identify(With(0x1001, 1));
  EXPECT_EQ(first->Outbound(one.outbound, 0, 10)->last, 10u);
  const auto second = Killed(*first);
  const NumberIdentity two = *second->Identify(With(0x1002, 1));
  EXPECT_EQ(two.outbound, one.outbound);
  EXPECT_EQ(two.iv_mask, one.iv_mask);
  EXPECT_NE(two.inbound, one.inbound);
  EXPECT_EQ(second->Outbound(two.outbound, 3, 5)->first, 11u);
  ASSERT_TRUE(second->ReturnOutbound(two.outbound, 12, 15));
  EXPECT_EQ(second->Outbound(two.outbound, 0, 1)->first, 13u);
  EXPECT_NE(second->Identify(With(0x1001, 2))->iv_mask, one.iv_mask);
}

TEST(MemoryNumbersTest, AFullOneKeepsLivingSasAndChangesAllMasks) {
  auto numbers = *MemoryNumbers::Create(4);
  const NumberIdentity live = *numbers->Identify(With(0x1001, 1));
  ASSERT_TRUE(numbers->Outbound(live.outbound, 0, 10));
  numbers->Retain(live);
  const NumberIdentity ended = *numbers->Identify(With(0x1002, 2));
  ASSERT_TRUE(numbers->Outbound(ended.outbound, 0, 10));
  ASSERT_TRUE(numbers->Inbound(ended.inbound, 0, 7));
  const NumberIdentity again = *numbers->Identify(With(0x1002, 2));
  EXPECT_NE(again.iv_mask, ended.iv_mask);
  EXPECT_EQ(numbers->Outbound(again.outbound, 0, 10)->first, 1u) << "under another mask";
  const auto next = Killed(*numbers);
  EXPECT_EQ(next->Outbound(live.outbound, 0, 10)->first, 11u);
}

TEST(MemoryNumbersTest, RefusesOtherMemory) {
  const UniqueFd other(memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(other.get(), 4096), 0);
  ASSERT_EQ(fcntl(other.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  EXPECT_FALSE(MemoryNumbers::Adopt(UniqueFd(dup(other.get()))));
}

struct Memories {
  std::unique_ptr<MemoryNumbers> numbers;
  std::unique_ptr<KeptSas> kept;
};

// One process: a control plane over both memories.
class Life final : public Memories, public test::ControlPlaneTest {
 public:
  explicit Life(Memories memories)
      : Memories(std::move(memories)),
        ControlPlaneTest(2, PlacementMode::kCrypto, [this](ControlPlaneParams* params) {
          params->keeper = kept.get();
          params->numbers = numbers.get();
          params->number_cells = [this](const Sa& sa) { return kept->Cells(sa); };
        }) {
    restored = kept->Restore(control_.get()).restored;
  }
  void TestBody() override {}

  static Memories Fresh() {
    return {*MemoryNumbers::Create(16), std::make_unique<KeptSas>(*StateMemory::Create(8))};
  }
  Memories AfterKill() const {
    return {Killed(*numbers), std::make_unique<KeptSas>(*StateMemory::Adopt(
                                  UniqueFd(fcntl(kept->memory().fd(), F_DUPFD_CLOEXEC, 0))))};
  }
  SaPtr Add(SaSpec spec) {
    const uint32_t spi = spec.spi.value;
    EXPECT_TRUE(control_->AddSa(std::move(spec), {}));
    return path_.sad.Find(IdOf(spi));
  }
  void Delete(uint32_t spi) { EXPECT_TRUE(control_->DeleteSa(IdOf(spi), {})); }

  std::size_t restored = 0;
};

TEST(MemoryNumbersTest, AKeyThatComesBackAfterACrashRepeatsNothing) {
  Life first(Life::Fresh());
  auto sa = first.Add(With(0x1001, 1));
  const uint64_t mask = sa->outbound()->iv_mask;
  EXPECT_EQ(sa->outbound()->sequence.Reserve(100).first, 1u);
  for (const uint64_t seq : {1u, 2u, 9u}) {
    EXPECT_EQ(sa->inbound()->replay.Commit(seq), DropReason::kNone);
  }
  first.Delete(0x1001);

  Life second(first.AfterKill());
  EXPECT_EQ(second.restored, 0u);
  sa = second.Add(With(0x2001, 1));
  EXPECT_EQ(sa->outbound()->iv_mask, mask);
  EXPECT_EQ(sa->outbound()->sequence.Reserve(1).first, 101u);
  EXPECT_EQ(sa->inbound()->replay.Commit(5), DropReason::kNone) << "of another SPI";
  second.Delete(0x2001);
  sa = second.Add(With(0x1001, 1));
  EXPECT_EQ(sa->inbound()->replay.Commit(5), DropReason::kInNumberUnknown);
  EXPECT_EQ(sa->inbound()->replay.Commit(10), DropReason::kNone);
  EXPECT_EQ(sa->inbound()->replay.mark(), ~uint64_t{0}) << "nothing is reserved ahead";
}

}  // namespace
}  // namespace cygnet
