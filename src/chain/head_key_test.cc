#include "chain/head_key.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace cygnet {
namespace {

class HeadKeyTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/cygnet-key-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/key";
  }
  void TearDown() override {
    (void)unlink(path_.c_str());
    (void)rmdir(folder_.c_str());
  }
  std::string folder_;
  std::string path_;
};

TEST_F(HeadKeyTest, IsMadeOnceAndReadAgain) {
  const auto first = HeadKey::Open(path_);
  ASSERT_TRUE(first.has_value()) << first.error().message;
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto again = HeadKey::Open(path_);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->public_key(), first->public_key());
  EXPECT_EQ(*again->Sign("x"), *first->Sign("x"));
}

TEST_F(HeadKeyTest, ASignatureHoldsForItsTextAndKeyAlone) {
  const auto key = HeadKey::Open(path_);
  ASSERT_TRUE(key.has_value());
  HeadSignature signature = *key->Sign("text");
  EXPECT_TRUE(SignatureHolds(key->public_key(), "text", signature));
  EXPECT_FALSE(SignatureHolds(key->public_key(), "texu", signature));
  HeadPublicKey other = key->public_key();
  other[0] ^= 1;
  EXPECT_FALSE(SignatureHolds(other, "text", signature));
  signature[5] ^= 1;
  EXPECT_FALSE(SignatureHolds(key->public_key(), "text", signature));
}

TEST_F(HeadKeyTest, AFileThatIsNotAKeyIsRefusedAndKept) {
  std::ofstream(path_) << "something else\n";
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  const auto key = HeadKey::Open(path_);
  ASSERT_FALSE(key.has_value());
  EXPECT_NE(key.error().message.find("not a key of cygnetd"), std::string::npos);
}

TEST_F(HeadKeyTest, AKeyThatOthersMayReadIsRefused) {
  ASSERT_TRUE(HeadKey::Open(path_).has_value());
  ASSERT_EQ(chmod(path_.c_str(), 0640), 0);
  const auto key = HeadKey::Open(path_);
  ASSERT_FALSE(key.has_value());
  EXPECT_NE(key.error().message.find("other users may read it"), std::string::npos);
}

}  // namespace
}  // namespace cygnet
