#include "daemon/system/file_watch.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace cygnet {
namespace {

namespace fs = std::filesystem;

class FileWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("cygnet-watch-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "in");
    path_ = folder_ / "in" / "kept";
    Write(path_);
    auto watch = FileWatch::Create();
    ASSERT_TRUE(watch) << watch.error().message;
    watch_ = *std::move(watch);
    ASSERT_TRUE(watch_->Add(path_, [this] { ++told_; }));
  }
  ~FileWatchTest() override { fs::remove_all(folder_); }

  static void Write(const fs::path& path) { std::ofstream(path) << "text"; }
  bool IsReadable() const {
    pollfd fd{.fd = watch_->event_fd(), .events = POLLIN, .revents = 0};
    return poll(&fd, 1, 0) == 1;
  }
  // Whether the callback runs for what has just happened, and not again later.
  bool IsTold() {
    told_ = 0;
    if (IsReadable()) watch_->Drain();
    EXPECT_FALSE(IsReadable());
    return told_ == 1;
  }

  fs::path folder_;
  fs::path path_;
  std::unique_ptr<FileWatch> watch_;
  int told_ = 0;
};

TEST_F(FileWatchTest, ReportsEveryChangeOfTheNameAtOnce) {
  EXPECT_FALSE(IsTold());
  Write(folder_ / "in" / "other");
  EXPECT_FALSE(IsTold());
  fs::rename(folder_ / "in" / "other", path_);
  EXPECT_TRUE(IsTold()) << "replaced";
  Write(path_);
  EXPECT_TRUE(IsTold()) << "written";
  fs::rename(path_, folder_ / "away");
  EXPECT_TRUE(IsTold()) << "moved";
  fs::create_hard_link(folder_ / "away", path_);
  EXPECT_TRUE(IsTold()) << "linked";
  fs::remove(path_);
  EXPECT_TRUE(IsTold()) << "deleted";
  fs::create_symlink(folder_ / "away", path_);
  EXPECT_TRUE(IsTold()) << "a symbolic link";
  Write(path_.string() + ".lock");
  EXPECT_TRUE(IsTold()) << "its lock";
}

TEST_F(FileWatchTest, FollowsAFolderThatIsReplaced) {
  fs::rename(folder_ / "in", folder_ / "out");
  EXPECT_TRUE(IsTold());
  fs::create_directories(folder_ / "in");
  watch_->Renew();
  told_ = 0;
  Write(path_);
  EXPECT_TRUE(IsTold());
}

TEST_F(FileWatchTest, AFolderThatIsNotThereIsAnError) {
  EXPECT_FALSE(watch_->Add(folder_ / "none" / "kept", [] {}));
}

}  // namespace
}  // namespace cygnet
