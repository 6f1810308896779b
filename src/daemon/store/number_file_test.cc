#include "daemon/store/number_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "support/file_size_limit.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class NumberFileTest : public testing::Test {
 protected:
  NumberFileTest() {
    std::string folder = testing::TempDir() + "numbersXXXXXX";
    folder_ = mkdtemp(folder.data());
  }
  ~NumberFileTest() override { fs::remove_all(folder_); }

  std::string Path() const { return folder_ + "/numbers"; }
  std::unique_ptr<NumberFile> Open(uint64_t max_rows = 1000) {
    auto file = NumberFile::Open({.path = Path(), .max_rows = max_rows});
    EXPECT_TRUE(file.has_value()) << (file ? "" : file.error().message);
    return file ? *std::move(file) : nullptr;
  }
  // The key depends on the SPI.
  static NumberIdentity Identify(NumberFile* file, uint32_t spi = 1) {
    return *file->Identify(test::MakeSpec({.spi = spi}));
  }
  // What the disk has if the process ends now, or had then: all files of the store.
  void Save(const std::string& name) {
    fs::create_directory(folder_ + "/" + name);
    for (const char* suffix : {"", "-wal", ".lock"}) {
      if (!fs::exists(Path() + suffix)) continue;
      fs::copy_file(Path() + suffix, folder_ + "/" + name + "/numbers" + suffix,
                    fs::copy_options::overwrite_existing);
    }
  }
  void Restore(const std::string& name, const std::vector<std::string>& suffixes) {
    for (const std::string& suffix : suffixes) {
      fs::remove(Path() + suffix);
      const std::string from = folder_ + "/" + name + "/numbers" + suffix;
      if (fs::exists(from)) fs::copy_file(from, Path() + suffix);
    }
  }
  static std::string Contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string folder_;
};

TEST_F(NumberFileTest, NumbersContinueAfterAnEndAndAfterAKill) {
  auto file = Open();
  const NumberIdentity id = Identify(file.get());
  EXPECT_EQ(*file->Outbound(id.outbound, 0, 10), (NumberBlock{1, 10}));
  EXPECT_TRUE(file->Inbound(id.inbound, 0, 64)->raised);
  Save("killed");
  file.reset();
  for (const char* how : {"ended", "killed"}) {
    if (how == std::string("killed")) Restore("killed", {"", "-wal", ".lock"});
    file = Open();
    EXPECT_EQ(file->loss(), "") << how;
    EXPECT_EQ(Identify(file.get()).iv_mask, id.iv_mask);
    EXPECT_EQ(*file->Outbound(id.outbound, 0, 5), (NumberBlock{11, 15})) << how;
    EXPECT_EQ(file->Inbound(id.inbound, 0, 99)->mark, 64u) << how;
    file.reset();
  }
}

TEST_F(NumberFileTest, BlocksAreAboveWhatTheSaSentAndEndWithTheLastNumber) {
  auto file = Open();
  const NumberId id = Identify(file.get()).outbound;
  EXPECT_EQ(*file->Outbound(id, 500, 10), (NumberBlock{501, 510}));
  constexpr uint64_t kLast = ~uint64_t{0};
  EXPECT_EQ(*file->Outbound(id, kLast - 3, 10), (NumberBlock{kLast - 2, kLast}));
  EXPECT_EQ(file->Outbound(id, 0, 1).error().code, Errc::kRange);
}

TEST_F(NumberFileTest, OnlyWhoHasTheMarkRaisesIt) {
  auto file = Open();
  const NumberId id = Identify(file.get()).inbound;
  EXPECT_TRUE(file->Inbound(id, 0, 64)->raised);
  const auto other = file->Inbound(id, 0, 128);
  EXPECT_FALSE(other->raised);
  EXPECT_EQ(other->mark, 64u);
  EXPECT_TRUE(file->LowerInbound(id, 30, 64));
  EXPECT_TRUE(file->LowerInbound(id, 10, 64)) << "no effect";
  EXPECT_EQ(file->Inbound(id, 0, 1)->mark, 30u);
}

TEST_F(NumberFileTest, WhatIsGivenBackIsGivenAgainUnlessOthersGotMore) {
  auto file = Open();
  const NumberId id = Identify(file.get()).outbound;
  EXPECT_EQ(file->Outbound(id, 0, 10)->last, 10u);
  EXPECT_TRUE(file->ReturnOutbound(id, 4, 10));
  EXPECT_EQ(file->Outbound(id, 0, 10)->first, 5u);
  EXPECT_TRUE(file->ReturnOutbound(id, 4, 10));
  EXPECT_EQ(file->Outbound(id, 0, 10)->first, 15u);
}

TEST_F(NumberFileTest, StepsTogetherAreAllStoredOrNone) {
  auto file = Open();
  const NumberId id = Identify(file.get()).outbound;
  EXPECT_FALSE(file->Together([&]() -> Status {
    EXPECT_TRUE(file->Outbound(id, 0, 10).has_value());
    return MakeError(Errc::kInvalid, "no");
  }));
  EXPECT_EQ(file->Outbound(id, 0, 10)->first, 1u);
  EXPECT_EQ(file->fault(), "");
}

TEST_F(NumberFileTest, AnOlderCopyIsFoundAndTheStoreBeginsWithOtherMasks) {
  auto file = Open();
  const NumberIdentity id = Identify(file.get());
  EXPECT_TRUE(file->Outbound(id.outbound, 0, 10).has_value());
  file.reset();
  Save("old");
  file = Open();
  EXPECT_TRUE(file->Outbound(id.outbound, 0, 10).has_value());
  file.reset();
  Restore("old", {"", "-wal"});
  file = Open();
  EXPECT_THAT(file->loss(), HasSubstr("older copy"));
  EXPECT_NE(Identify(file.get()).iv_mask, id.iv_mask);
  EXPECT_TRUE(fs::exists(Path() + ".damaged"));
  file.reset();
  EXPECT_EQ(Open()->loss(), "") << "said once";
}

TEST_F(NumberFileTest, AFileThatIsGoneOrWithoutItsLogIsFound) {
  auto file = Open();
  const NumberIdentity id = Identify(file.get());
  EXPECT_TRUE(file->Outbound(id.outbound, 0, 10).has_value());
  Save("killed");
  file.reset();
  Restore("killed", {"", "-wal", ".lock"});
  fs::remove(Path() + "-wal");
  file = Open();
  EXPECT_NE(file->loss(), "");
  EXPECT_NE(Identify(file.get()).iv_mask, id.iv_mask);
  file.reset();
  fs::remove(Path());
  EXPECT_THAT(Open()->loss(), HasSubstr("missing"));
}

// Whatever byte is wrong: no number of a block comes again under the mask it had.
TEST_F(NumberFileTest, DamageNeverBringsANumberAgain) {
  auto file = Open();
  const NumberIdentity id = Identify(file.get());
  EXPECT_TRUE(file->Outbound(id.outbound, 0, 0x1234567).has_value());
  file.reset();
  Save("whole");
  const std::string whole = Contents(Path());
  constexpr std::size_t kOneOf = 41;  // of the bytes that are used; with 1 it takes minutes
  std::size_t used = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    if (whole[at] == 0 || ++used % kOneOf != 0) continue;
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    std::ofstream(Path(), std::ios::binary | std::ios::trunc) << damaged;
    Restore("whole", {"-wal", ".lock"});
    const auto opened = NumberFile::Open({.path = Path(), .max_rows = 1000});
    if (!opened) continue;  // refused
    const auto now = (*opened)->Identify(test::MakeSpec({.spi = 1}));
    if (!now || now->iv_mask != id.iv_mask) continue;
    const auto block = (*opened)->Outbound(now->outbound, 0, 1);
    ASSERT_TRUE(!block.has_value() || block->first > 0x1234567u) << "byte " << at;
  }
}

TEST_F(NumberFileTest, AFullDiskGivesNothingAndFreeSpaceGivesAgain) {
  auto file = Open();
  const NumberId id = Identify(file.get()).outbound;
  EXPECT_TRUE(file->Outbound(id, 0, 10).has_value());
  {
    const test::FileSizeLimit full(1);
    EXPECT_FALSE(file->Outbound(id, 0, 10).has_value());
    EXPECT_THAT(file->fault(), HasSubstr(Path()));
  }
  EXPECT_GE(file->Outbound(id, 0, 10)->first, 11u);
  EXPECT_EQ(file->fault(), "");
}

TEST_F(NumberFileTest, OneProcessAtATime) {
  auto file = Open();
  EXPECT_EQ(NumberFile::Open({.path = Path()}).error().code, Errc::kBusy);
  fs::remove(Path() + ".lock");
  EXPECT_EQ(NumberFile::Open({.path = Path()}).error().code, Errc::kBusy);
}

TEST_F(NumberFileTest, AFileThatOthersMayWriteIsRefused) {
  Open().reset();
  ASSERT_EQ(chmod(Path().c_str(), 0666), 0);
  const auto file = NumberFile::Open({.path = Path()});
  ASSERT_FALSE(file.has_value());
  EXPECT_THAT(file.error().message, HasSubstr("other users may write it"));
  EXPECT_FALSE(fs::exists(Path() + ".damaged"));
}

TEST_F(NumberFileTest, ANewerVersionIsLeftAlone) {
  Open().reset();
  {
    auto db = SqliteDatabase::Open(Path());
    ASSERT_TRUE(db->Run("UPDATE state SET value = 2 WHERE name = 'version'"));
  }
  const auto file = NumberFile::Open({.path = Path()});
  ASSERT_FALSE(file.has_value());
  EXPECT_THAT(file.error().message, HasSubstr("version 2"));
  EXPECT_FALSE(fs::exists(Path() + ".damaged"));
}

TEST_F(NumberFileTest, TheOldestAreForgottenAndComeBackWithOtherMasks) {
  auto file = Open(32);
  const NumberIdentity living = Identify(file.get(), 1);
  file->Retain(living);
  const NumberIdentity old = Identify(file.get(), 2);
  for (const NumberIdentity& id : {living, old}) {
    EXPECT_TRUE(file->Outbound(id.outbound, 0, 10).has_value());
    EXPECT_TRUE(file->Inbound(id.inbound, 0, 10)->raised);
  }
  NumberIdentity newest;
  EXPECT_TRUE(file->Together([&]() -> Status {
    for (uint32_t spi = 100; spi < 200; ++spi) {
      newest = Identify(file.get(), spi);
      EXPECT_TRUE(file->Outbound(newest.outbound, 0, 10).has_value());
      EXPECT_TRUE(file->Inbound(newest.inbound, 0, 10)->raised);
    }
    return {};
  }));
  file.reset();
  file = Open(32);
  EXPECT_EQ(Identify(file.get(), 1).outbound, living.outbound);
  EXPECT_EQ(Identify(file.get(), 1).iv_mask, living.iv_mask);
  EXPECT_EQ(Identify(file.get(), 199).iv_mask, newest.iv_mask);
  EXPECT_NE(Identify(file.get(), 2).iv_mask, old.iv_mask) << "forgotten: its numbers begin anew";
}

TEST_F(NumberFileTest, AStoreFullOfLivingSasRefusesOthers) {
  auto file = Open(4);
  for (uint32_t spi = 1; spi <= 2; ++spi) {
    const NumberIdentity id = Identify(file.get(), spi);
    file->Retain(id);
    EXPECT_TRUE(file->Outbound(id.outbound, 0, 10).has_value());
    EXPECT_TRUE(file->Inbound(id.inbound, 0, 10)->raised);
  }
  EXPECT_EQ(file->Identify(test::MakeSpec({.spi = 3})).error().code, Errc::kNoSpace);
  file->Release(Identify(file.get(), 1));
  EXPECT_TRUE(file->Identify(test::MakeSpec({.spi = 3})).has_value());
}

TEST_F(NumberFileTest, NoKeyIsInTheFileAndOnlyItsOwnerReadsIt) {
  auto file = Open();
  const SaSpec spec = test::MakeSpec({.spi = 1});
  const NumberIdentity id = *file->Identify(spec);
  EXPECT_TRUE(file->Outbound(id.outbound, 0, 10).has_value());
  file.reset();
  const auto key = spec.aead.key.bytes();
  const std::string part(key.begin(), key.begin() + 8);
  EXPECT_EQ(Contents(Path()).find(part), std::string::npos);
  struct stat info {};
  ASSERT_EQ(stat(Path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

}  // namespace
}  // namespace cygnet
