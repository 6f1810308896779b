// Keys for Wireshark: lines of its table, and who may read them.
#include "cli/esp_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace cygnet {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Json Sa() {
  return {{"src", "192.0.2.1"}, {"dst", "192.0.2.2"}, {"spi", "0x00001000"}, {"family", 4}};
}

Json Aead(const char* name, int icv_bits) {
  Json sa = Sa();
  sa["aead"] = {{"name", name}, {"icv_bits", icv_bits}, {"key", "0x0011"}};
  return sa;
}

Json Pair(const char* cipher, const char* auth, int icv_bits) {
  Json sa = Sa();
  sa["cipher"] = {{"name", cipher}, {"icv_bits", 0}, {"key", "0x0011"}};
  sa["auth"] = {{"name", auth}, {"icv_bits", icv_bits}, {"key", "0x2233"}};
  return sa;
}

TEST(EspSaLineTest, NamesAlgorithmsAsWiresharkDoes) {
  EXPECT_EQ(EspSaLine(Aead("rfc4106(gcm(aes))", 128)),
            R"("IPv4","192.0.2.1","192.0.2.2","0x00001000",)"
            R"("AES-GCM with 16 octet ICV [RFC4106]","0x0011","NULL","")"
            "\n");
  EXPECT_THAT(EspSaLine(Aead("rfc4106(gcm(aes))", 64)), HasSubstr("AES-GCM with 8 octet ICV"));
  EXPECT_EQ(EspSaLine(Pair("cbc(aes)", "hmac(sha256)", 128)),
            R"("IPv4","192.0.2.1","192.0.2.2","0x00001000",)"
            R"("AES-CBC [RFC3602]","0x0011","HMAC-SHA-256-128 [RFC4868]","0x2233")"
            "\n");
  EXPECT_THAT(EspSaLine(Pair("rfc3686(ctr(aes))", "cmac(aes)", 96)),
              HasSubstr(R"("AES-CTR [RFC3686]","0x0011","ANY 96 bit authentication)"));
}

TEST(EspSaLineTest, FamilyAndAnyAddress) {
  Json sa = Aead("rfc4106(gcm(aes))", 128);
  sa["family"] = 6;
  sa["src"] = "::";
  sa["dst"] = "2001:db8::2";
  EXPECT_THAT(EspSaLine(sa), StartsWith(R"("IPv6","*","2001:db8::2",)"));
}

TEST(EspSaLineTest, SaysWhatWiresharkCannotDoWithoutTheKey) {
  const std::string line = EspSaLine(Aead("rfc7539esp(chacha20,poly1305)", 128));
  EXPECT_THAT(line, StartsWith("# SPI 0x00001000"));
  EXPECT_THAT(line, HasSubstr("chacha20"));
  EXPECT_THAT(line, testing::Not(HasSubstr("0x0011")));
}

class KeyFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = ::testing::TempDir() + "cygnet_keys_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    base_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(base_); }

  static mode_t ModeOf(const std::string& path) {
    struct stat facts {};
    EXPECT_EQ(stat(path.c_str(), &facts), 0) << path;
    return facts.st_mode & 0777;
  }

  std::string base_;
};

TEST_F(KeyFolderTest, OnlyTheUserMayReadIt) {
  const std::string path = base_ + "/f.keys";
  std::filesystem::create_directory(path);
  std::ofstream(path + "/esp_sa") << "stale";  // readable by all, from somebody else
  ASSERT_EQ(chmod(path.c_str(), 0755), 0);
  auto folder = KeyFolder::Create(path);
  ASSERT_TRUE(folder) << folder.error().message;
  ASSERT_TRUE(folder->Add(Aead("rfc4106(gcm(aes))", 128)));
  EXPECT_EQ(folder->sas(), 1u);
  EXPECT_EQ(ModeOf(path), 0700u);
  EXPECT_EQ(ModeOf(path + "/esp_sa"), 0600u);
  std::ostringstream text;
  text << std::ifstream(path + "/esp_sa").rdbuf();
  EXPECT_THAT(text.str(), StartsWith("\"IPv4\""));
}

TEST_F(KeyFolderTest, FollowsNoLink) {
  std::filesystem::create_directory(base_ + "/elsewhere");
  std::filesystem::create_directory_symlink(base_ + "/elsewhere", base_ + "/f.keys");
  EXPECT_FALSE(KeyFolder::Create(base_ + "/f.keys"));
  std::filesystem::create_directory(base_ + "/g.keys");
  std::filesystem::create_symlink(base_ + "/target", base_ + "/g.keys/esp_sa");
  EXPECT_FALSE(KeyFolder::Create(base_ + "/g.keys"));
  EXPECT_FALSE(std::filesystem::exists(base_ + "/target"));
}

}  // namespace
}  // namespace cygnet
