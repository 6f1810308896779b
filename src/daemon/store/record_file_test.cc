#include "daemon/store/record_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/file_size_limit.h"

namespace cygnet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

using Records = std::vector<std::pair<uint32_t, std::string>>;

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

RecordScan ScanText(const std::string& text, Records* records) {
  return RecordFile::Scan(Bytes(text), [records](uint32_t type, std::span<const uint8_t> payload) {
    records->emplace_back(type, std::string(payload.begin(), payload.end()));
  });
}

class RecordFileTest : public testing::Test {
 protected:
  RecordFileTest() {
    folder_ = std::filesystem::temp_directory_path() /
              ("cygnet-records-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "file";
  }
  ~RecordFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Text() const {
    std::ostringstream text;
    text << std::ifstream(path_, std::ios::binary).rdbuf();
    return text.str();
  }
  // Three records, the last two by Append.
  void Make(RecordFile* file) {
    RecordFile::Image image;
    image.Add(7, Bytes("first"));
    ASSERT_TRUE(file->Replace(path_, std::move(image)));
    ASSERT_TRUE(file->Append(8, Bytes("")));
    ASSERT_TRUE(file->Append(9, Bytes("sixteen bytes !!")));
  }

  std::filesystem::path folder_;
  std::string path_;
};

TEST_F(RecordFileTest, HoldsWhatWasWritten) {
  RecordFile file;
  Make(&file);
  Records records;
  const RecordScan scan = ScanText(Text(), &records);
  EXPECT_TRUE(scan.whole) << scan.damage;
  EXPECT_EQ(scan.end, file.size());
  EXPECT_THAT(records, ElementsAre(Pair(7, "first"), Pair(8, ""), Pair(9, "sixteen bytes !!")));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
}

TEST_F(RecordFileTest, GoesOnWithAFileThatIsThere) {
  {
    RecordFile file;
    Make(&file);
  }
  Records records;
  const RecordScan before = ScanText(Text(), &records);
  RecordFile file;
  ASSERT_TRUE(file.Open(path_, before));
  ASSERT_TRUE(file.Append(10, Bytes("more")));
  records.clear();
  EXPECT_TRUE(ScanText(Text(), &records).whole);
  EXPECT_THAT(records.back(), Pair(10, "more"));
}

TEST_F(RecordFileTest, EveryTruncationIsFound) {
  RecordFile file;
  Make(&file);
  const std::string whole = Text();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Records records;
    const RecordScan scan = ScanText(whole.substr(0, size), &records);
    EXPECT_FALSE(scan.whole) << size;
    EXPECT_THAT(scan.damage, HasSubstr("cut short")) << size;
    EXPECT_LE(records.size(), 3u);
  }
}

TEST_F(RecordFileTest, EveryChangeOfAByteIsFound) {
  RecordFile file;
  Make(&file);
  const std::string whole = Text();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int flip = 1; flip < 256; ++flip) {
      std::string changed = whole;
      changed[at] = static_cast<char>(static_cast<uint8_t>(changed[at]) ^ flip);
      Records records;
      const RecordScan scan = ScanText(changed, &records);
      ASSERT_FALSE(scan.whole) << at << " ^ " << flip;
      ASSERT_LE(scan.end, at) << "a changed record is not accepted";
    }
  }
}

TEST_F(RecordFileTest, ARecordThatIsTakenOutOrSwappedIsFound) {
  RecordFile::Image image;
  image.Add(1, Bytes("one"));
  image.Add(1, Bytes("two"));
  image.Add(1, Bytes("six"));
  const std::vector<uint8_t> bytes = image.Finish();
  const std::string whole(bytes.begin(), bytes.end());
  const std::string one = whole.substr(0, 32), two = whole.substr(32, 32);
  const std::string six = whole.substr(64, 32), end = whole.substr(96);
  Records records;
  EXPECT_TRUE(ScanText(one + two + six + end, &records).whole);
  for (const std::string& other :
       {one + six + end, one + two + end, two + six + end, two + one + six + end, end}) {
    EXPECT_FALSE(ScanText(other, &records).whole);
  }
}

// The file after a daemon was killed between the two steps.
TEST_F(RecordFileTest, ARecordWithoutItsHeaderWasNeverThere) {
  RecordFile file;
  Make(&file);
  const std::string before = Text();
  ASSERT_TRUE(file.Append(10, Bytes("not to its end")));
  std::string torn = Text();
  torn.replace(before.size() - 16, 16, before.substr(before.size() - 16));
  Records records;
  EXPECT_TRUE(ScanText(torn, &records).whole);
  EXPECT_EQ(records.size(), 3u);
}

TEST_F(RecordFileTest, WhatIsSpoiledIsFoundIncomplete) {
  RecordFile file;
  Make(&file);
  file.Spoil();
  EXPECT_FALSE(file.is_open());
  EXPECT_FALSE(file.Append(1, Bytes("x")));
  Records records;
  EXPECT_FALSE(ScanText(Text(), &records).whole);
  EXPECT_EQ(records.size(), 3u);
}

TEST_F(RecordFileTest, ARecordThatFindsNoRoomLeavesTheFileWhole) {
  RecordFile file;
  Make(&file);
  const std::string before = Text();
  for (const std::size_t room : {0u, 1u, 15u, 16u, 17u, 31u, 32u, 47u}) {
    const test::FileSizeLimit limit(before.size() + room);
    const Status added = file.Append(10, Bytes("this one is longer than thirty-two bytes"));
    EXPECT_FALSE(added) << room;
    EXPECT_EQ(Text(), before) << room;
  }
  ASSERT_TRUE(file.Append(11, Bytes("room again")));
  Records records;
  EXPECT_TRUE(ScanText(Text(), &records).whole);
  EXPECT_THAT(records.back(), Pair(11, "room again"));
}

TEST_F(RecordFileTest, AFileThatCannotBeReplacedStays) {
  RecordFile file;
  Make(&file);
  const std::string before = Text();
  {
    const test::FileSizeLimit limit(10);
    RecordFile::Image image;
    image.Add(1, Bytes("new"));
    EXPECT_FALSE(file.Replace(path_, std::move(image)));
  }
  EXPECT_EQ(Text(), before);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
  EXPECT_TRUE(file.Append(12, Bytes("goes on")));
}

TEST_F(RecordFileTest, WrongLengthsAreRefused) {
  std::string huge = std::string("CyR\n") + std::string(12, '\xff');
  Records records;
  EXPECT_THAT(ScanText(huge, &records).damage, HasSubstr("wrong length"));
  EXPECT_THAT(records, IsEmpty());
  RecordFile file;
  Make(&file);
  EXPECT_FALSE(file.Append(1, std::vector<uint8_t>(RecordFile::kMaxRecord + 1)));
}

}  // namespace
}  // namespace cygnet
