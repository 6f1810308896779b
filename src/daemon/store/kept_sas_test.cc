#include "daemon/store/kept_sas.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/control_plane_fixture.h"
#include "support/hex.h"
#include "xfrm/sa_message.h"

namespace cygnet {
namespace {

using testing::IsEmpty;

constexpr uint32_t kFew = 8;

struct Keeper {
  explicit Keeper(std::unique_ptr<StateMemory> memory) : kept(std::move(memory)) {}
  KeptSas kept;
};

// One process: a control plane over the state memory.
class Life final : public Keeper, public test::ControlPlaneTest {
 public:
  explicit Life(std::unique_ptr<StateMemory> memory)
      : Keeper(std::move(memory)),
        ControlPlaneTest(2, PlacementMode::kCrypto, [this](ControlPlaneParams* params) {
          params->keeper = &kept;
          params->number_cells = [this](const Sa& sa) { return kept.Cells(sa); };
        }) {
    outcome = kept.Restore(control_.get());
  }
  void TestBody() override {}

  // What a killed process leaves.
  std::unique_ptr<StateMemory> Killed() const {
    return *StateMemory::Adopt(UniqueFd(fcntl(kept.memory().fd(), F_DUPFD_CLOEXEC, 0)));
  }
  std::unique_ptr<StateMemory> Stopped() {
    control_->TakeBackNumbers();
    kept.Stop();
    return Killed();
  }
  void Checkpoint() {
    kept.Tick();
    while (kept.DoSome()) {
    }
  }
  SaPtr Get(uint32_t spi) { return path_.sad.Find(IdOf(spi)); }
  Status Add(SaSpec spec) { return control_->AddSa(std::move(spec), {}); }
  ControlPlane& control() { return *control_; }
  const test::Recorder& recorder() const { return recorder_; }
  std::string Place(uint32_t spi, std::size_t half) { return Where(spi, half); }
  using ControlPlaneTest::IdOf;
  using ControlPlaneTest::Offloaded;

  KeptSas::Outcome outcome;
};

std::unique_ptr<StateMemory> Fresh(uint32_t slots = kFew) { return *StateMemory::Create(slots); }

SaSpec Both(uint32_t spi) { return test::MakeSpec({.spi = spi}); }

// As packets would.
uint64_t Send(const SaPtr& sa, uint32_t n) {
  return sa->outbound()->sequence.Reserve(n).first + n - 1;
}
DropReason Receive(const SaPtr& sa, uint64_t seq) { return sa->inbound()->replay.Commit(seq); }

TEST(KeptSasTest, AfterAnOrderlyEndEverythingContinuesExactly) {
  Life first(Fresh());
  ASSERT_TRUE(first.Add(Both(0x1001)));
  const auto sa = first.Get(0x1001);
  EXPECT_EQ(Send(sa, 10), 10u);
  for (const uint64_t seq : {1u, 2u, 5u, 9u}) EXPECT_EQ(Receive(sa, seq), DropReason::kNone);
  const uint32_t size = 100;
  (void)sa->lifetime().Charge({&size, 1}, 77);
  const netlink::Buffer before = xfrm::EncodeSa(first.control().Inspect(*sa), {}, {});

  Life second(first.Stopped());
  EXPECT_EQ(second.outcome.restored, 1u);
  const auto again = second.Get(0x1001);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(xfrm::EncodeSa(second.control().Inspect(*again), {}, {}), before);
  EXPECT_EQ(again->outbound()->iv_mask, sa->outbound()->iv_mask);
  EXPECT_EQ(Send(again, 1), 11u);
  EXPECT_EQ(Receive(again, 5), DropReason::kInReplayDuplicate);
  EXPECT_EQ(Receive(again, 3), DropReason::kNone) << "it never came";
  EXPECT_THAT(second.recorder().events, IsEmpty()) << "nobody is told";
}

TEST(KeptSasTest, AfterAnOrderlyEndAnSaThatOnlySentContinuesExactly) {
  Life first(Fresh());
  ASSERT_TRUE(first.Add(Both(0x1001)));
  const auto sa = first.Get(0x1001);
  EXPECT_EQ(Send(sa, 10), 10u);
  SaSpec spec = Both(0x1001);
  spec.limits.Change()->hard_bytes = 4711;
  ASSERT_TRUE(first.control().UpdateSa(std::move(spec), {}));
  const uint32_t size = 100;
  (void)sa->lifetime().Charge({&size, 1}, 77);
  const netlink::Buffer before = xfrm::EncodeSa(first.control().Inspect(*sa), {}, {});

  Life second(first.Stopped());
  ASSERT_EQ(second.outcome.restored, 1u);
  const auto again = second.Get(0x1001);
  EXPECT_EQ(xfrm::EncodeSa(second.control().Inspect(*again), {}, {}), before);
  EXPECT_EQ(again->outbound()->iv_mask, sa->outbound()->iv_mask);
  EXPECT_EQ(Send(again, 1), 11u);
  EXPECT_EQ(Receive(again, 1), DropReason::kNone);
}

TEST(KeptSasTest, AnOrderlyEndWritesADamagedSaAnew) {
  Life first(Fresh());
  ASSERT_TRUE(first.Add(Both(0x1001)));
  const off_t in_message = 2 * StateMemory::kSlotBytes - StateMemory::kMaxMessage + 40;
  ASSERT_EQ(pwrite(first.kept.memory().fd(), "damage", 6, in_message), 6);
  ASSERT_FALSE(first.kept.memory().Read(0).has_value());
  Life second(first.Stopped());
  EXPECT_EQ(second.outcome.restored, 1u);
  EXPECT_EQ(second.outcome.lost, 0u);
}

TEST(KeptSasTest, AfterACrashNoNumberIsUsedTwiceAndNoneIsAcceptedTwice) {
  Life first(Fresh());
  ASSERT_TRUE(first.Add(Both(0x1001)));
  const auto sa = first.Get(0x1001);
  const uint64_t sent = Send(sa, 1000);
  for (const uint64_t seq : {1u, 2u, 5u, 9u}) EXPECT_EQ(Receive(sa, seq), DropReason::kNone);

  Life second(first.Killed());
  ASSERT_EQ(second.outcome.restored, 1u);
  const auto again = second.Get(0x1001);
  EXPECT_GT(Send(again, 1), sent);
  for (const uint64_t seq : {1u, 3u, 9u}) {
    EXPECT_EQ(Receive(again, seq), DropReason::kInNumberUnknown) << seq;
  }
  EXPECT_EQ(Receive(again, 10), DropReason::kNone);

  // An orderly end does not forget what the crash has made unknown.
  Life third(second.Stopped());
  EXPECT_NE(Receive(third.Get(0x1001), 3), DropReason::kNone);
  EXPECT_EQ(Receive(third.Get(0x1001), 10), DropReason::kInReplayDuplicate);
  EXPECT_EQ(Receive(third.Get(0x1001), 11), DropReason::kNone);
}

TEST(KeptSasTest, CrashesInARowNeverRepeatANumber) {
  std::vector<std::unique_ptr<Life>> lives;  // they end without an orderly end
  lives.push_back(std::make_unique<Life>(Fresh()));
  ASSERT_TRUE(lives.back()->Add(Both(0x1001)));
  uint64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    const auto sa = lives.back()->Get(0x1001);
    ASSERT_NE(sa, nullptr);
    const SequenceRange range = sa->outbound()->sequence.Reserve(3);
    EXPECT_GT(range.first, last);
    last = range.first + range.count - 1;
    lives.push_back(std::make_unique<Life>(lives.back()->Killed()));
  }
}

TEST(KeptSasTest, SasOfADeviceComeBackToIt) {
  Life first(Fresh());
  ASSERT_TRUE(first.Add(Life::Offloaded(0x1001)));
  EXPECT_EQ(first.Place(0x1001, 0), "crypto requested");
  Life second(first.Stopped());
  EXPECT_EQ(second.Place(0x1001, 0), "crypto requested");
}

TEST(KeptSasTest, KeepsThresholdsLifetimesAndTheStateOfAnSa) {
  Life first(Fresh());
  SaSpec spec = Both(0x1001);
  spec.limits.Change()->hard_packets = 100;
  ASSERT_TRUE(first.Add(std::move(spec)));
  AeventChange change{.id = Life::IdOf(0x1001)};
  change.max_diff = 33;
  change.max_age = 44;
  ASSERT_TRUE(first.control().UpdateAevent(change, {}));
  ASSERT_TRUE(first.control().ExpireSa(Life::IdOf(0x1001), false));
  const uint32_t size = 100;
  (void)first.Get(0x1001)->lifetime().Charge({&size, 1}, 77);
  first.Checkpoint();

  Life second(first.Killed());
  const auto sa = second.Get(0x1001);
  ASSERT_NE(sa, nullptr);
  EXPECT_EQ(sa->state(), SaState::kDying);
  EXPECT_EQ(sa->lifetime().limits().hard_packets, 100u);
  EXPECT_EQ(sa->lifetime().usage().packets, 1u);
  EXPECT_EQ(sa->lifetime().last_used(), 77u);
  const auto thresholds = second.control().GetAevent(Life::IdOf(0x1001));
  EXPECT_EQ(thresholds->max_diff, 33u);
  EXPECT_EQ(thresholds->max_age, 44u);
}

TEST(KeptSasTest, AChangedSaIsRestoredAsItIs) {
  Life first(Fresh());
  ASSERT_TRUE(first.Add(Both(0x1001)));
  SaSpec spec = Both(0x1001);
  spec.limits.Change()->hard_bytes = 4711;
  ASSERT_TRUE(first.control().UpdateSa(std::move(spec), {}));
  Life second(first.Killed());
  EXPECT_EQ(second.Get(0x1001)->lifetime().limits().hard_bytes, 4711u);
}

TEST(KeptSasTest, AReservedSpiCanStillBeFilledIn) {
  Life first(Fresh());
  SpiRequest request;
  request.spec = Both(0);
  request.spec.aead = {};
  request.min = request.max = 0x7001;
  ASSERT_TRUE(first.control().AllocateSpi(std::move(request)).has_value());
  Life second(first.Killed());
  EXPECT_EQ(second.outcome.larval, 1u);
  ASSERT_NE(second.Get(0x7001), nullptr);
  EXPECT_EQ(second.Get(0x7001)->state(), SaState::kLarval);
  ASSERT_TRUE(second.control().UpdateSa(Both(0x7001), {}));
  EXPECT_EQ(second.Get(0x7001)->state(), SaState::kValid);
  Life third(second.Killed());
  EXPECT_EQ(third.outcome.larval, 0u);
  EXPECT_EQ(third.Get(0x7001)->state(), SaState::kValid);
}

TEST(KeptSasTest, WhatEndedDoesNotComeBack) {
  Life first(Fresh());
  for (const uint32_t spi : {0x1001u, 0x1002u}) ASSERT_TRUE(first.Add(Both(spi)));
  ASSERT_TRUE(first.control().DeleteSa(Life::IdOf(0x1001), {}));
  Life second(first.Killed());
  EXPECT_EQ(second.outcome.restored, 1u);
  EXPECT_EQ(second.Get(0x1001), nullptr);
  EXPECT_TRUE(second.control().FlushSas(0, {}));
  EXPECT_THAT(second.kept.memory().Used(), IsEmpty());
}

TEST(KeptSasTest, AFullMemoryRefusesNoSa) {
  Life first(Fresh(3));
  for (uint32_t spi = 0x1001; spi <= 0x1004; ++spi) ASSERT_TRUE(first.Add(Both(spi)));
  EXPECT_EQ(first.kept.left_out(), 2u);
  EXPECT_EQ(Send(first.Get(0x1004), 100'000), 100'000u) << "its numbers end with the process";
  Life second(first.Killed());
  EXPECT_EQ(second.outcome.restored, 2u) << "the spare slot moves them all";
  EXPECT_EQ(second.Get(0x1004), nullptr);
}

TEST(KeptSasTest, WhatCannotBeReadIsLostAlone) {
  Life first(Fresh());
  for (const uint32_t spi : {0x1001u, 0x1002u}) ASSERT_TRUE(first.Add(Both(spi)));
  auto memory = first.Killed();
  StateRecord record = *memory->Read(memory->Used().front());
  record.message.resize(40);
  ASSERT_TRUE(memory->Rewrite(memory->Used().front(), record));
  Life second(std::move(memory));
  EXPECT_EQ(second.outcome.restored, 1u);
  EXPECT_EQ(second.outcome.lost, 1u);
  Life third(second.Killed());
  EXPECT_EQ(third.outcome.lost, 0u) << "it was wiped";
}

// An interface that was made anew has another number, and its old one may be that of another.
TEST(KeptSasTest, AnSaFollowsTheInterfaceOfItsSelectorToItsNewNumber) {
  constexpr std::size_t kIfindex = 16 + 48;  // in the message, behind nlmsghdr
  Life first(Fresh());
  for (const uint32_t spi : {0x1001u, 0x1002u}) {
    SaSpec spec = Both(spi);
    spec.selector.Change()->ifindex = test::kNic0;
    ASSERT_TRUE(first.Add(std::move(spec)));
  }
  auto memory = first.Killed();
  for (const uint32_t slot : memory->Used()) {
    StateRecord record = *memory->Read(slot);
    EXPECT_EQ(record.selector_interface, "nic0");
    ASSERT_EQ(record.message.at(kIfindex), test::kNic0);
    record.message[kIfindex] = test::kNic0 + 2;
    if (slot != memory->Used().front()) {
      record.message[kIfindex] = test::kNic0;
      record.selector_interface = "gone0";
    }
    ASSERT_TRUE(memory->Rewrite(slot, record));
  }
  Life second(std::move(memory));
  ASSERT_NE(second.Get(0x1001), nullptr);
  EXPECT_EQ(second.Get(0x1001)->spec().selector->ifindex, test::kNic0);
  EXPECT_EQ(second.Get(0x1002), nullptr) << "it must not select another interface";
}

// The store does not learn which numbers are used from here on.
TEST(KeptSasTest, WithoutTheNumberStoreAnSaGetsAnotherMask) {
  Life first(Fresh());
  ASSERT_TRUE(first.Add(Both(0x1001)));
  auto memory = first.Killed();
  StateRecord record = *memory->Read(memory->Used().front());
  EXPECT_FALSE(record.in_store);
  record.in_store = true;
  ASSERT_TRUE(memory->Rewrite(memory->Used().front(), record));
  Life second(std::move(memory));
  EXPECT_EQ(second.outcome.left_store, 1u);
  EXPECT_NE(second.Get(0x1001)->outbound()->iv_mask, record.iv_mask);
  Life third(second.Killed());
  EXPECT_EQ(third.outcome.left_store, 0u) << "it is not the store's any more";
}

// A daemon that ends soon after each start does not live to check it.
TEST(KeptSasTest, ALifetimeThatEndedMeanwhileEndsItAtOnce) {
  Life first(Fresh());
  ASSERT_TRUE(first.Add(test::MakeSpec({.spi = 0x1001, .limits = {.hard_add_seconds = 5}})));
  auto memory = first.Killed();
  StateRecord record = *memory->Read(memory->Used().front());
  record.progress.usage.add_time -= 10;
  ASSERT_TRUE(memory->Rewrite(memory->Used().front(), record));
  Life second(std::move(memory));
  EXPECT_EQ(second.Get(0x1001), nullptr);
  EXPECT_THAT(second.Killed()->Used(), IsEmpty()) << "its keys are gone";
}

// --- Samples: every later version reads them ---

// The header and the first slot of version 1, up to their last byte that is not zero: an SA with
// ESN that was killed after it had sent up to 65,536 numbers and accepted 9.
constexpr const char* kHeader1 = "6379677374617465010000000008000008";
constexpr const char* kSlot1 =
    "020000000100000074010000000000000100000000000000ee8f178bb7fd427b0000000000000000"
    "00000000000000008902ce2900000000000001000000000009000000000000000000000000000000"
    "000000000000000000f1536500000000000000000000000000000000000000000000000000000000"
    "00000000000000000100000000000000000000000000000000000000000000000000000000000000"
    "00000000000000000000000000000000000000000000000000000000000000007401000010000000"
    "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000002000000000000000000000000000000c0000202000000000000000000000000"
    "0000100132000000c0000201000000000000000000000000ffffffffffffffffffffffffffffffff"
    "ffffffffffffffff40420f0000000000000000000000000000000000000000000000000000000000"
    "00000000000000000000000000000000000000000000000000f15365000000000000000000000000"
    "00000000000000000000000000000000010000000200010080000000000000006000120072666334"
    "3130362867636d286165732929000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000a00000008000000001080f161d242b323940474e"
    "555c636a71787f8624001700020000000000000000000000000000000000000040";

std::string Trimmed(int fd, off_t at) {
  std::vector<uint8_t> bytes(StateMemory::kSlotBytes);
  EXPECT_EQ(pread(fd, bytes.data(), bytes.size(), at), static_cast<ssize_t>(bytes.size()));
  while (!bytes.empty() && bytes.back() == 0) bytes.pop_back();
  return test::ToHex(bytes);
}

SaSpec SampleSpec() {
  SaSpec spec = test::MakeSpec({.spi = 0x1001, .flags = kSaFlagEsn});
  spec.replay.extended_form = true;
  spec.replay.bitmap.assign(2, 0);
  spec.limits.Change()->hard_packets = 1'000'000;
  return spec;
}

TEST(KeptSasTest, ASampleOfVersion1IsRead) {
  auto memory = Fresh();
  ASSERT_FALSE(std::string(kHeader1).empty());
  for (const auto& [hex, at] : {std::pair(kHeader1, 0), std::pair(kSlot1, 2048)}) {
    const std::vector<uint8_t> bytes = test::FromHex(hex);
    ASSERT_EQ(pwrite(memory->fd(), bytes.data(), bytes.size(), at),
              static_cast<ssize_t>(bytes.size()));
  }
  const int fd = memory->fd();
  auto adopted = StateMemory::Adopt(UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)));
  ASSERT_TRUE(adopted.has_value()) << adopted.error().message;
  Life life(*std::move(adopted));
  ASSERT_EQ(life.outcome.restored, 1u);
  const auto sa = life.Get(0x1001);
  EXPECT_EQ(sa->spec().aead.key, SampleSpec().aead.key);
  EXPECT_EQ(sa->spec().selector, SampleSpec().selector);
  EXPECT_EQ(sa->lifetime().limits().hard_packets, 1'000'000u);
  EXPECT_TRUE(sa->spec().esn());
  EXPECT_EQ(Send(sa, 1), 65'537u);
  EXPECT_EQ(Receive(sa, 9), DropReason::kInNumberUnknown);
  EXPECT_EQ(Receive(sa, 10), DropReason::kNone);
}

// What this version writes: the sample of the next one.
TEST(KeptSasTest, WritesVersion1) {
  Life life(Fresh());
  ASSERT_TRUE(life.Add(SampleSpec()));
  EXPECT_EQ(Receive(life.Get(0x1001), 9), DropReason::kNone);
  EXPECT_EQ(Trimmed(life.kept.memory().fd(), 0), kHeader1);
  // All but the mask and the checksum is the same each time.
  const std::string slot = Trimmed(life.kept.memory().fd(), 2048);
  EXPECT_EQ(slot.size(), std::string(kSlot1).size()) << slot;
}

}  // namespace
}  // namespace cygnet
