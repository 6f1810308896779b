// Loading plug-ins: what is refused, and what the refusal says.
#include "plugin/plugin_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "plugin/driver_plugin.h"

namespace cygnet {
namespace {

using testing::HasSubstr;

std::string TestPlugin(const std::string& name) {
  return std::string(CYGNET_TEST_PLUGINS) + "/" + name + ".so";
}

std::string WhyNot(const std::string& path, PluginTrust trust = PluginTrust::kAnyOwner) {
  const auto plugin = LoadDriver(path, trust);
  return plugin ? "loaded" : plugin.error().message;
}

class PluginFileTest : public testing::Test {
 protected:
  PluginFileTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "plugin.XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~PluginFileTest() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST(PluginLibraryTest, ADriverIsReadWithItsNameAndTheSumOfItsFile) {
  const auto plugin = LoadDriver(TestPlugin("plugin_soft"), PluginTrust::kAnyOwner);
  ASSERT_TRUE(plugin) << plugin.error().message;
  EXPECT_STREQ(plugin->driver.name, "soft_driver");
  EXPECT_THAT(plugin->Title(), HasSubstr("soft_driver 1.0 (/"));
  EXPECT_EQ(plugin->sha256.size(), 64u);
  EXPECT_NE(plugin->loopback.loop, nullptr);
  EXPECT_EQ(plugin->driver.packet, nullptr);
}

TEST_F(PluginFileTest, TheSumIsThatOfSha256sum) {
  std::ofstream(folder_ + "/abc") << "abc";
  const auto sum = Sha256OfFile(folder_ + "/abc");
  ASSERT_TRUE(sum);
  EXPECT_EQ(*sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(PluginLibraryTest, AWrongVersionIsRefusedWithBothNumbers) {
  EXPECT_THAT(WhyNot(TestPlugin("plugin_bad_version")),
              HasSubstr("built for version 2 of the interface, and this is version 1"));
  EXPECT_THAT(WhyNot(TestPlugin("plugin_bad_entry")),
              HasSubstr("cannot work with version 1 of the interface"));
}

TEST(PluginLibraryTest, AMissingFunctionIsNamed) {
  EXPECT_THAT(WhyNot(TestPlugin("plugin_bad_members")), HasSubstr("does not have \"open\""));
}

TEST_F(PluginFileTest, WhatIsNotADriverIsRefused) {
  EXPECT_THAT(WhyNot(folder_ + "/none.so"), HasSubstr("No such file or directory"));
  std::ofstream(folder_ + "/text.so") << "text";
  EXPECT_THAT(WhyNot(folder_ + "/text.so"), HasSubstr("cannot be loaded"));
  EXPECT_THAT(WhyNot("/lib/x86_64-linux-gnu/libdl.so.2"), HasSubstr("cygnet_driver_entry"));
}

TEST_F(PluginFileTest, FilesThatOthersMayChangeAreRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root owns files that others do not";
  const std::string path = folder_ + "/d.so";
  std::filesystem::copy_file(TestPlugin("plugin_null"), path);
  // /tmp can be written by everybody.
  EXPECT_THAT(WhyNot(path, PluginTrust::kNobodyElse), HasSubstr("can be written by others"));
  EXPECT_EQ(WhyNot(path), "loaded");
  EXPECT_EQ(chmod(path.c_str(), 0666), 0);
  EXPECT_THAT(WhoElseMayWrite(path), HasSubstr("d.so can be written by others"));
  EXPECT_EQ(chmod(path.c_str(), 0644), 0);
  EXPECT_EQ(chown(path.c_str(), 1, 0), 0);
  EXPECT_THAT(WhoElseMayWrite(path), HasSubstr("d.so belongs to another user than root"));
  EXPECT_EQ(WhoElseMayWrite("/usr/bin"), "");
}

TEST(PluginLibraryTest, MembersBehindThePluginsSizeAreNotRead) {
  cygnet_loopback old{};
  old.size = offsetof(cygnet_loopback, loop);
  old.loop = [](void*, const cygnet_sa*, cygnet_packet* const*, uint32_t, const char**) -> int32_t {
    return 0;
  };
  EXPECT_EQ(ReadTable(&old).loop, nullptr);
  old.size = 2 * sizeof(old);  // of a newer interface
  EXPECT_NE(ReadTable(&old).loop, nullptr);
  EXPECT_EQ(ReadTable<cygnet_loopback>(nullptr).loop, nullptr);
}

}  // namespace
}  // namespace cygnet
