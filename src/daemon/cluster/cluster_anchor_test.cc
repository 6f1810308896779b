#include "daemon/cluster/cluster_anchor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace cygnet {
namespace {

using ::testing::HasSubstr;

class ClusterAnchorTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/cygnet_anchor.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = folder_ + "/state";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::optional<AnchorState> Reopened(const std::string& node = "gw1") {
    const auto anchor = ClusterAnchor::Open(path_, "site", node);
    EXPECT_TRUE(anchor) << anchor.error().message;
    return anchor ? anchor->state() : std::nullopt;
  }
  void Damage(std::streamoff at) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.put('\x5a');
  }

  std::string folder_;
  std::string path_;
};

constexpr AnchorState kFirst{
    .cluster_id = ~uint64_t{0}, .era = 1, .revision = 7, .own_revision = 6};
constexpr AnchorState kSecond{.cluster_id = 3, .era = 2, .revision = 9, .own_revision = 9};

TEST_F(ClusterAnchorTest, HasWhatWasWrittenLast) {
  EXPECT_EQ(Reopened(), std::nullopt);
  EXPECT_EQ(Reopened(), std::nullopt);
  {
    auto anchor = ClusterAnchor::Open(path_, "site", "gw1");
    ASSERT_TRUE(anchor && anchor->Write(kFirst));
  }
  EXPECT_EQ(Reopened(), kFirst);
  {
    auto anchor = ClusterAnchor::Open(path_, "site", "gw1");
    ASSERT_TRUE(anchor && anchor->Write(kSecond));
    EXPECT_FALSE(ClusterAnchor::Open(path_, "site", "gw1"));  // one process
  }
  EXPECT_EQ(Reopened(), kSecond);
}

TEST_F(ClusterAnchorTest, ATornWriteLeavesTheOneBefore) {
  {
    auto anchor = ClusterAnchor::Open(path_, "site", "gw1");
    ASSERT_TRUE(anchor && anchor->Write(kFirst) && anchor->Write(kSecond));
  }
  Damage(20);  // the second is in the first half
  EXPECT_EQ(Reopened(), kFirst);
  Damage(4096 + 20);
  const auto anchor = ClusterAnchor::Open(path_, "site", "gw1");
  ASSERT_FALSE(anchor);
  EXPECT_THAT(anchor.error().message, HasSubstr("damaged"));
}

TEST_F(ClusterAnchorTest, OfAnotherNodeIsRefused) {
  {
    auto anchor = ClusterAnchor::Open(path_, "site", "gw1");
    ASSERT_TRUE(anchor && anchor->Write(kFirst));
  }
  const auto other = ClusterAnchor::Open(path_, "site", "gw2");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("another cluster or node"));
}

TEST_F(ClusterAnchorTest, AFileThatWasRemovedIsMadeAnew) {
  {
    auto anchor = ClusterAnchor::Open(path_, "site", "gw1");
    ASSERT_TRUE(anchor && anchor->Write(kFirst));
    std::filesystem::remove(path_);
    ASSERT_TRUE(anchor->Write(kSecond));
  }
  EXPECT_EQ(Reopened(), kSecond);
}

TEST_F(ClusterAnchorTest, WhatShowsThatAStoreWentBack) {
  EXPECT_EQ(WhyItWentBack(kSecond, {3, 9, 9}), "");
  EXPECT_EQ(WhyItWentBack(kSecond, {3, 12, 11}), "");
  EXPECT_EQ(WhyItWentBack(kSecond, {3, 12, {}}), "");
  EXPECT_THAT(WhyItWentBack(kSecond, {4, 12, 11}), HasSubstr("another store"));
  EXPECT_THAT(WhyItWentBack(kSecond, {3, 8, 9}), HasSubstr("revision 8"));
  EXPECT_THAT(WhyItWentBack(kSecond, {3, 12, 8}), HasSubstr("revision 9"));
  EXPECT_THAT(WhyItWentBack(kSecond, {3, 12, 0}), HasSubstr("revision 9"));
}

}  // namespace
}  // namespace cygnet
