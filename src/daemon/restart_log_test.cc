#include "daemon/restart_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/log.h"
#include "crypto/algorithm.h"
#include "support/fake_xfrm_control.h"

namespace cygnet {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class Ear final : public ControlListener {
 public:
  void OnControlEvent(const ControlEvent&, const RequestOrigin&) override { ++events; }
  bool WantsAcquire() const override { return true; }
  bool WantsAevents() const override { return false; }
  int events = 0;
};

// One life of a daemon: a control plane and the log before it.
struct Life {
  explicit Life(const std::string& path) : log(&ear, path) {
    auto opened = log.Open(control);
    EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().message);
    if (opened) lost = *std::move(opened);
    control.listener = &log;
  }
  Ear ear;
  RestartLog log;
  test::FakeXfrmControl control;
  std::vector<LostSa> lost;
};

class RestartLogTest : public testing::Test {
 protected:
  RestartLogTest() {
    folder_ = std::filesystem::temp_directory_path() /
              ("cygnet-restart-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "restart";
  }
  ~RestartLogTest() override { std::filesystem::remove_all(folder_); }

  std::string FileBytes() const {
    std::ostringstream text;
    text << std::ifstream(path_, std::ios::binary).rdbuf();
    return text.str();
  }

  static PolicySpec PolicyTo(const char* net, PolicyDirection direction = PolicyDirection::kOut) {
    PolicySpec spec;
    spec.selector.family = IpFamily::kV4;
    spec.selector.daddr = ParseAddress(net)->address;
    spec.selector.prefixlen_d = 16;
    spec.direction = direction;
    spec.priority = 77;
    spec.templates.push_back({.daddr = ParseAddress("192.0.2.2")->address,
                              .saddr = ParseAddress("192.0.2.1")->address,
                              .spi = {},
                              .family = IpFamily::kV4,
                              .proto = 50,
                              .mode = 1,
                              .reqid = Reqid(3)});
    return spec;
  }

  static SaSpec SaOf(uint32_t spi) {
    SaSpec spec;
    spec.family = IpFamily::kV4;
    spec.saddr = ParseAddress("192.0.2.1")->address;
    spec.daddr = ParseAddress("192.0.2.2")->address;
    spec.spi = Spi(spi);
    spec.proto = 50;
    spec.reqid = Reqid(3);
    return spec;
  }

  std::filesystem::path folder_;
  std::string path_;
};

TEST_F(RestartLogTest, FirstLifeFindsNothing) {
  const Life life(path_);
  EXPECT_THAT(life.lost, IsEmpty());
  EXPECT_THAT(life.control.policies, IsEmpty());
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(RestartLogTest, SaysHowManyOfThePoliciesLetPass) {
  {
    Life life(path_);
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    PolicySpec bypass = PolicyTo("10.3.0.0");
    bypass.templates.clear();
    ASSERT_TRUE(life.control.AddPolicy(bypass, {}));
    bypass = PolicyTo("10.4.0.0");
    bypass.templates.clear();
    bypass.action = PolicyAction::kBlock;
    ASSERT_TRUE(life.control.AddPolicy(bypass, {}));
  }
  static std::string said;
  SetLogSink([](LogLevel, std::string_view text) { said = text; });
  const Life life(path_);
  SetLogSink([](LogLevel, std::string_view) {});
  EXPECT_THAT(said, HasSubstr("3 policies are back, 1 of them let traffic pass in clear"));
}

TEST_F(RestartLogTest, PoliciesComeBackAndSasAreLost) {
  {
    Life life(path_);
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.3.0.0"), {}));
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.4.0.0", PolicyDirection::kIn), {}));
    const PolicyId gone{.selector = PolicyTo("10.3.0.0").selector};
    ASSERT_TRUE(life.control.DeletePolicy(gone, {}));
    for (const uint32_t spi : {0x1001u, 0x1002u, 0x1003u}) {
      ASSERT_TRUE(life.control.AddSa(SaOf(spi), {}));
    }
    ASSERT_TRUE(life.control.DeleteSa(
        {.daddr = SaOf(1).daddr, .spi = Spi(0x1002), .proto = 50, .family = IpFamily::kV4}, {}));
    EXPECT_EQ(life.ear.events, 8);
  }
  for (int i = 0; i < 2; ++i) {  // nobody was told: the third life knows of them as the second does
    const Life life(path_);
    ASSERT_THAT(life.control.policies, SizeIs(2));
    EXPECT_EQ(life.control.policies[0].spec.selector, PolicyTo("10.2.0.0").selector);
    EXPECT_EQ(life.control.policies[0].spec.priority, 77u);
    EXPECT_EQ(life.control.policies[0].spec.templates, PolicyTo("10.2.0.0").templates);
    EXPECT_EQ(life.control.policies[1].spec.direction, PolicyDirection::kIn);
    ASSERT_THAT(life.lost, SizeIs(2));
    EXPECT_EQ(life.lost[0].id.spi, Spi(0x1001));
    EXPECT_EQ(life.lost[1].id.spi, Spi(0x1003));
    constexpr std::size_t kHard = 16 + 224;  // behind nlmsghdr and xfrm_usersa_info
    EXPECT_EQ(life.lost[0].expiry.at(kHard), 0) << "key management takes policies away at that";
    EXPECT_THAT(life.control.sas, IsEmpty());
  }
}

TEST_F(RestartLogTest, WhatIsFlushedIsGone) {
  {
    Life life(path_);
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    ASSERT_TRUE(life.control.AddSa(SaOf(0x1001), {}));
    EXPECT_TRUE(life.control.FlushPolicies(PolicyType::kMain, {}));
    EXPECT_TRUE(life.control.FlushSas(255, {}));
    ASSERT_TRUE(life.control.AddSa(SaOf(0x1002), {}));
  }
  const Life life(path_);
  EXPECT_THAT(life.control.policies, IsEmpty());
  ASSERT_THAT(life.lost, SizeIs(1));
  EXPECT_EQ(life.lost[0].id.spi, Spi(0x1002));
}

TEST_F(RestartLogTest, HoldsNoKeys) {
  const std::string key = "a key that nobody may see";
  Life life(path_);
  SaSpec spec = SaOf(0x1001);
  spec.aead.descriptor = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))");
  spec.aead.key = KeyMaterial({reinterpret_cast<const uint8_t*>(key.data()), 20});
  ASSERT_TRUE(life.control.AddSa(std::move(spec), {}));
  EXPECT_THAT(FileBytes(), Not(IsEmpty()));
  EXPECT_THAT(FileBytes(), Not(HasSubstr(key.substr(0, 8))));
}

TEST_F(RestartLogTest, AFileCutShortOrMadeUpIsReadAsFarAsItGoes) {
  {
    Life life(path_);
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.2.0.0"), {}));
    ASSERT_TRUE(life.control.AddPolicy(PolicyTo("10.3.0.0"), {}));
  }
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 20);
  EXPECT_THAT(Life(path_).control.policies, SizeIs(1));
  std::ofstream(path_, std::ios::binary) << "no such thing";
  EXPECT_THAT(Life(path_).control.policies, IsEmpty());
}

TEST_F(RestartLogTest, AFileThatCannotBeWrittenIsAnError) {
  Ear ear;
  RestartLog log(&ear, folder_ / "no/such/folder");
  test::FakeXfrmControl control;
  EXPECT_FALSE(log.Open(control));
}

}  // namespace
}  // namespace cygnet
