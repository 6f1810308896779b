#include "daemon/store/state_memory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/endian.h"
#include "support/hex.h"

namespace cygnet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint32_t kFew = 4;

StateRecord RecordOf(uint64_t number) {
  StateRecord record;
  record.number = number;
  record.iv_mask = 0x1122334455667788;
  record.progress = {.usage = {.bytes = 1000, .packets = 10, .add_time = 5, .use_time = 6},
                     .last_used = 7,
                     .state = SaState::kDying,
                     .soft_time_signalled = true,
                     .max_diff = 8,
                     .max_age = 9};
  record.message.assign({'k', 'e', 'y', static_cast<uint8_t>(number)});
  return record;
}

// What the next process gets: another descriptor of the same memory.
Result<std::unique_ptr<StateMemory>> Next(const StateMemory& memory) {
  return StateMemory::Adopt(UniqueFd(fcntl(memory.fd(), F_DUPFD_CLOEXEC, 0)));
}

std::string Contents(int fd, off_t from, std::size_t size) {
  std::string bytes(size, '\0');
  EXPECT_EQ(pread(fd, bytes.data(), size, from), static_cast<ssize_t>(size));
  return bytes;
}

class StateMemoryTest : public testing::Test {
 protected:
  void SetUp() override { memory_ = *StateMemory::Create(kFew); }
  void Damage(uint32_t slot, off_t at, const std::string& bytes) const {
    const off_t begin = static_cast<off_t>((slot + 1) * StateMemory::kSlotBytes);
    ASSERT_EQ(pwrite(memory_->fd(), bytes.data(), bytes.size(), begin + at),
              static_cast<ssize_t>(bytes.size()));
  }
  std::unique_ptr<StateMemory> memory_;
};

TEST_F(StateMemoryTest, TheNextProcessReadsWhatThisOneWrote) {
  StateRecord record = RecordOf(3);
  const auto slot = memory_->Write(record);
  ASSERT_TRUE(slot.has_value());
  memory_->cells(*slot)->out_given.store(500);
  memory_->cells(*slot)->in_top.store(70);
  record.progress.usage.packets = 11;
  memory_->Checkpoint(*slot, record.progress);

  const auto next = Next(*memory_);
  ASSERT_TRUE(next.has_value());
  EXPECT_THAT((*next)->Used(), ElementsAre(*slot));
  const auto read = (*next)->Read(*slot);
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(read->number, 3u);
  EXPECT_EQ(read->iv_mask, record.iv_mask);
  EXPECT_EQ(read->progress, record.progress);
  EXPECT_EQ(read->message, record.message);
  EXPECT_FALSE(read->exact.has_value());
  EXPECT_EQ((*next)->cells(*slot)->out_given.load(), 500u);
  EXPECT_EQ((*next)->cells(*slot)->in_top.load(), 70u);
}

TEST_F(StateMemoryTest, AnOrderlyEndLeavesExactNumbers) {
  StateRecord record = RecordOf(3);
  const auto slot = memory_->Write(record);
  ASSERT_TRUE(slot.has_value());
  record.exact = ExactNumbers{.oseq = 0x1'0000'0007, .seq = 6};
  ASSERT_TRUE(memory_->Rewrite(*slot, record));
  EXPECT_EQ((*Next(*memory_))->Read(*slot)->exact, record.exact);
}

TEST_F(StateMemoryTest, AnOrderlyEndNeedsNoMessage) {
  StateRecord record = RecordOf(3);
  const auto slot = memory_->Write(record);
  ASSERT_TRUE(slot.has_value());
  record.exact = ExactNumbers{.oseq = 0x1'0000'0007, .seq = 6};
  record.in_store = true;
  record.progress.usage.packets = 12;
  ASSERT_TRUE(memory_->Finish(*slot, *record.exact, record.in_store, record.progress));
  const auto read = (*Next(*memory_))->Read(*slot);
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(read->number, record.number);
  EXPECT_EQ(read->iv_mask, record.iv_mask);
  EXPECT_EQ(read->exact, record.exact);
  EXPECT_TRUE(read->in_store);
  EXPECT_EQ(read->progress, record.progress);
  EXPECT_EQ(read->message, record.message);
}

// Otherwise the new checksum would say that it is right.
TEST_F(StateMemoryTest, AnOrderlyEndDoesNotHideDamage) {
  const StateRecord record = RecordOf(3);
  const auto slot = memory_->Write(record);
  ASSERT_TRUE(slot.has_value());
  Damage(*slot, StateMemory::kSlotBytes - StateMemory::kMaxMessage, "K");
  EXPECT_FALSE(memory_->Finish(*slot, {}, false, record.progress));
  EXPECT_FALSE(memory_->Read(*slot).has_value());
}

TEST_F(StateMemoryTest, AFreeSlotIsWiped) {
  const auto slot = memory_->Write(RecordOf(3));
  ASSERT_TRUE(slot.has_value());
  const auto begin = static_cast<off_t>((*slot + 1) * StateMemory::kSlotBytes);
  const auto all = [&] { return Contents(memory_->fd(), begin, StateMemory::kSlotBytes); };
  EXPECT_THAT(all(), HasSubstr("key"));
  memory_->Wipe(*slot);
  EXPECT_EQ(all(), std::string(StateMemory::kSlotBytes, '\0'));
  EXPECT_THAT((*Next(*memory_))->Used(), IsEmpty());
}

TEST_F(StateMemoryTest, OneSlotIsLeftForARestart) {
  for (uint32_t i = 0; i + 1 < kFew; ++i) EXPECT_TRUE(memory_->Write(RecordOf(i)).has_value());
  EXPECT_EQ(memory_->room(), 0u);
  EXPECT_EQ(memory_->Write(RecordOf(9)).error().code, Errc::kNoSpace);
  memory_->UseSpare(true);
  EXPECT_TRUE(memory_->Write(RecordOf(9)).has_value());
  EXPECT_EQ(memory_->Write(RecordOf(10)).error().code, Errc::kNoSpace);
}

TEST_F(StateMemoryTest, TooLongAMessageIsRefused) {
  StateRecord record = RecordOf(1);
  record.message.assign(StateMemory::kMaxMessage, 1);
  const auto slot = memory_->Write(record);
  ASSERT_TRUE(slot.has_value());
  record.message.push_back(1);
  EXPECT_EQ(memory_->Write(record).error().code, Errc::kNoSpace);
  EXPECT_EQ(memory_->Rewrite(*slot, record).error().code, Errc::kNoSpace);
  EXPECT_TRUE(memory_->Read(*slot).has_value()) << "the refused record changed nothing";
}

// --- What cannot be read ---

TEST_F(StateMemoryTest, OneDamagedSlotCostsOneSa) {
  const auto first = memory_->Write(RecordOf(1));
  const auto second = memory_->Write(RecordOf(2));
  ASSERT_TRUE(first.has_value() && second.has_value());
  Damage(*first, 192, "K");  // the message
  EXPECT_THAT(memory_->Read(*first).error().message, HasSubstr("checksum"));
  Damage(*first, 192, "k");
  EXPECT_TRUE(memory_->Read(*first).has_value());
  for (const off_t at : {8, 12, 16, 24, 32, 40, 48}) {  // each field that the checksum covers
    const std::string was =
        Contents(memory_->fd(), static_cast<off_t>((*first + 1) * StateMemory::kSlotBytes) + at, 1);
    Damage(*first, at, std::string(1, static_cast<char>(was[0] ^ 1)));
    EXPECT_FALSE(memory_->Read(*first).has_value()) << at;
    Damage(*first, at, was);
  }
  EXPECT_TRUE(memory_->Read(*second).has_value());
}

TEST_F(StateMemoryTest, ASlotOfTheFutureOrHalfWrittenIsNotRead) {
  const auto slot = memory_->Write(RecordOf(1));
  ASSERT_TRUE(slot.has_value());
  Damage(*slot, 4, "\x02");
  EXPECT_THAT(memory_->Read(*slot).error().message, HasSubstr("version 2"));
  Damage(*slot, 4, "\x01");
  Damage(*slot, 0, "\x01");
  EXPECT_THAT(memory_->Read(*slot).error().message, HasSubstr("to its end"));
  EXPECT_THAT((*Next(*memory_))->Used(), ElementsAre(*slot)) << "it must be wiped";
}

TEST_F(StateMemoryTest, MemoryOfAnotherKindIsNotAdopted) {
  const auto why = [](UniqueFd fd) { return StateMemory::Adopt(std::move(fd)).error().message; };
  EXPECT_THAT(why(UniqueFd(open("/dev/null", O_RDWR))), HasSubstr("sealed"));
  UniqueFd loose(memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(loose.get(), 4096), 0);
  EXPECT_THAT(why(std::move(loose)), HasSubstr("sealed")) << "its size could change under us";
  const std::string version = Contents(memory_->fd(), 8, 1);
  Damage(0, -static_cast<off_t>(StateMemory::kSlotBytes) + 8, "\x07");
  EXPECT_THAT(Next(*memory_).error().message, HasSubstr("version 7"));
  Damage(0, -static_cast<off_t>(StateMemory::kSlotBytes) + 8, version);
  EXPECT_TRUE(Next(*memory_).has_value());
  Damage(0, -static_cast<off_t>(StateMemory::kSlotBytes), "X");
  EXPECT_THAT(Next(*memory_).error().message, HasSubstr("header"));
}

}  // namespace
}  // namespace cygnet
