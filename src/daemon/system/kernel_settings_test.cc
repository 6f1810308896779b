#include "daemon/system/kernel_settings.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace cygnet {
namespace {

class KernelSettingsTest : public ::testing::Test {
 protected:
  KernelSettingsTest()
      : folder_(std::filesystem::temp_directory_path() /
                ("cygnet-settings-" + std::to_string(getpid()))) {
    std::filesystem::create_directory(folder_);
  }
  ~KernelSettingsTest() override { std::filesystem::remove_all(folder_); }
  void Write(const char* name, const char* text) { std::ofstream(folder_ / name) << text; }

  const std::filesystem::path folder_;
};

TEST_F(KernelSettingsTest, MissingFilesMeanTheKernelsDefaults) {
  const XfrmSettings settings = ReadXfrmSettingsIn(folder_);
  EXPECT_EQ(settings.aevent_rseqth, 2u);
  EXPECT_EQ(settings.aevent_etime, 10u);
  EXPECT_TRUE(settings.larval_drop);
}

TEST_F(KernelSettingsTest, FilesAreRead) {
  Write("xfrm_aevent_rseqth", "5\n");
  Write("xfrm_aevent_etime", "60\n");
  Write("xfrm_larval_drop", "0\n");
  const XfrmSettings settings = ReadXfrmSettingsIn(folder_);
  EXPECT_EQ(settings.aevent_rseqth, 5u);
  EXPECT_EQ(settings.aevent_etime, 60u);
  EXPECT_FALSE(settings.larval_drop);
}

TEST_F(KernelSettingsTest, WhatIsNoNumberMeansTheDefault) {
  Write("xfrm_aevent_etime", "soon\n");
  EXPECT_EQ(ReadXfrmSettingsIn(folder_).aevent_etime, 10u);
}

TEST_F(KernelSettingsTest, FipsModeIsTheKernels) {
  const std::string path = folder_ / "fips_enabled";
  EXPECT_FALSE(*ReadKernelFips(path));
  Write("fips_enabled", "0\n");
  EXPECT_FALSE(*ReadKernelFips(path));
  Write("fips_enabled", "1\n");
  EXPECT_TRUE(*ReadKernelFips(path));
}

// An unreadable file does not mean "off".
TEST_F(KernelSettingsTest, FipsModeThatCannotBeReadIsAnError) {
  Write("fips_enabled", "");
  const auto mode = ReadKernelFips(folder_ / "fips_enabled");
  ASSERT_FALSE(mode);
  EXPECT_NE(mode.error().message.find("fips_enabled: does not contain a number"),
            std::string::npos);
  EXPECT_FALSE(ReadKernelFips(folder_));
}

TEST_F(KernelSettingsTest, AcquireExpiresIsTheSysctl) {
  std::ifstream file("/proc/sys/net/core/xfrm_acq_expires");
  uint32_t expected = 30;
  file >> expected;
  EXPECT_EQ(ReadAcquireExpires(), file ? expected : 30u);
}

}  // namespace
}  // namespace cygnet
