#include "daemon/system/journal_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/unique_fd.h"

namespace cygnet {
namespace {

TEST(JournalLogTest, KnowsItsStream) {
  const UniqueFd fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
  struct stat status {};
  ASSERT_EQ(fstat(fd.get(), &status), 0);
  const std::string own = fmt::format("{}:{}", status.st_dev, status.st_ino);
  EXPECT_TRUE(IsJournalStream(fd.get(), own.c_str()));
  EXPECT_FALSE(IsJournalStream(fd.get(), (own + "1").c_str()));
  EXPECT_FALSE(IsJournalStream(fd.get(), nullptr));
  EXPECT_FALSE(IsJournalStream(-1, own.c_str()));
}

TEST(JournalLogTest, PrioritiesAreSyslogs) {
  EXPECT_EQ(JournalLine(LogLevel::kError, "a"), "<3>a");
  EXPECT_EQ(JournalLine(LogLevel::kWarning, "a"), "<4>a");
  EXPECT_EQ(JournalLine(LogLevel::kInfo, "a"), "<6>a");
  EXPECT_EQ(JournalLine(LogLevel::kDebug, "a"), "<7>a");
}

// A client's text cannot become a separate log line.
TEST(JournalLogTest, AMessageStaysOneLine) {
  EXPECT_EQ(JournalLine(LogLevel::kInfo, "a\n<3>forged\x1b[2J"), "<6>a <3>forged\\x1b[2J");
}

}  // namespace
}  // namespace cygnet
