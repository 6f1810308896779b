#include "base/text_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace cygnet {
namespace {

using testing::HasSubstr;

class TextFileTest : public testing::Test {
 protected:
  TextFileTest() {
    folder_ = std::filesystem::temp_directory_path() /
              ("cygnet-text-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "file";
  }
  ~TextFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Refused() const {
    const auto text = ReadOwnFile(path_);
    return text ? "the file was read: " + *text : text.error().message;
  }

  std::filesystem::path folder_;
  std::string path_;
};

TEST_F(TextFileTest, OwnFilesAreRead) {
  const std::string text(200'000, 'x');
  std::ofstream(path_) << text;
  chmod(path_.c_str(), 0600);
  EXPECT_EQ(ReadOwnFile(path_).value_or(""), text);
}

TEST_F(TextFileTest, WhatOthersMayHaveWrittenIsNot) {
  EXPECT_EQ(ReadOwnFile(path_).error().code, Errc::kNoEntry);
  std::ofstream(path_) << "text";
  chmod(path_.c_str(), 0620);
  EXPECT_THAT(Refused(), HasSubstr("other users may write it"));
  chmod(path_.c_str(), 0602);
  EXPECT_THAT(Refused(), HasSubstr("other users may write it"));
  std::filesystem::rename(path_, path_ + "-real");
  chmod((path_ + "-real").c_str(), 0600);
  std::filesystem::create_symlink(path_ + "-real", path_);
  EXPECT_THAT(Refused(), HasSubstr("symbolic link"));
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  EXPECT_THAT(Refused(), HasSubstr("not a regular file"));
  std::filesystem::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(Refused(), HasSubstr("not a regular file"));  // and it waits for no writer
}

TEST_F(TextFileTest, ReplacingFollowsNoLink) {
  const std::string other = folder_ / "other";
  std::ofstream(other) << "someone else's";
  std::filesystem::create_symlink(other, path_ + ".new");
  std::filesystem::create_symlink(other, path_);
  const std::string text = "new";
  ASSERT_TRUE(ReplaceFile(path_, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  EXPECT_EQ(ReadTextFile(other).value_or(""), "someone else's");
  EXPECT_EQ(ReadOwnFile(path_).value_or(""), "new");
  struct stat info {};
  ASSERT_EQ(lstat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(TextFileTest, WhetherItCanBeWrittenIsKnownBefore) {
  EXPECT_TRUE(CheckWritable(path_));
  EXPECT_TRUE(std::filesystem::is_empty(folder_)) << "the probe file was left behind";
  EXPECT_THAT(CheckWritable(folder_ / "no/such").error().message, HasSubstr("No such file"));
  EXPECT_THAT(CheckWritable(folder_).error().message, HasSubstr("not a regular file"));
  EXPECT_FALSE(CheckWritable("/proc/cygnet"));
}

}  // namespace
}  // namespace cygnet
