// The row "plugin" of the driver table: its keys, and a device over a wire of the host.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "support/port_fixture.h"

namespace cygnet {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

class PluginDriverTest : public test::PortTest {
 protected:
  void SetUp() override {
    char name[] = "/var/lib/cygnet-plugin-XXXXXX";  // a folder that only root may write
    if (mkdtemp(name) == nullptr) GTEST_SKIP() << "needs root";
    folder_ = name;
    for (const char* plugin : {"plugin_null", "plugin_bad_version", "plugin_fault_constructor",
                               "plugin_fault_open", "plugin_fault_leave"}) {
      std::filesystem::copy_file(std::string(CYGNET_TEST_PLUGINS) + "/" + plugin + ".so",
                                 Path(plugin));
      chmod(Path(plugin).c_str(), 0644);
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::string Key(const std::string& key, const std::string& value) const {
    return key + " = \"" + value + "\"\n";
  }
  std::string WhyNot(const std::string& options) {
    const DriverInfo* driver = FindDriver("plugin");
    const auto table = ParseToml(options, "f.toml");
    if (!table) return table.error().message;
    const auto checked = driver->check(*table);
    if (!checked) return checked.error().message;
    const Status files = driver->check_files(checked->options);
    return files ? "fine" : files.error().message;
  }
  std::string WhyNotOpen(const std::string& plugin) {
    DriverParams params = Params("", 1);
    params.options = OptionsOf("plugin", Key("plugin", Path(plugin)));
    const Status opened = FindDriver("plugin")->try_open(params);
    return opened ? "fine" : opened.error().message;
  }
  std::string folder_;
};

TEST_F(PluginDriverTest, ItsKeysAreChecked) {
  EXPECT_THAT(WhyNot(""), HasSubstr("plugin: missing"));
  EXPECT_THAT(WhyNot(Key("plugin", "lib.so")), HasSubstr("plugin: not an absolute path"));
  EXPECT_THAT(WhyNot(Key("plugin", Path("plugin_null")) + "plugin_options = [1]\n"),
              HasSubstr("plugin_options"));
  EXPECT_EQ(WhyNot(Key("plugin", Path("plugin_null")) + "plugin_options = [\"a=b\", \"c\"]\n"),
            "fine");
  EXPECT_THAT(WhyNot(Key("plugin", Path("plugin_bad_version"))), HasSubstr("version 2"));
}

TEST_F(PluginDriverTest, ALibraryThatOthersMayChangeIsRefused) {
  chmod(Path("plugin_null").c_str(), 0666);
  EXPECT_THAT(WhyNot(Key("plugin", Path("plugin_null"))), HasSubstr("can be written by others"));
}

TEST_F(PluginDriverTest, ALibraryThatCrashesIsRefusedByName) {
  EXPECT_THAT(WhyNot(Key("plugin", Path("plugin_fault_constructor"))),
              HasSubstr("plugin_fault_constructor is refused: the library crashed (SIGSEGV) in "
                        "dlopen"));
  EXPECT_EQ(WhyNotOpen("plugin_null"), "fine");
  EXPECT_THAT(WhyNotOpen("plugin_fault_open"), HasSubstr("crashed (SIGSEGV) in open"));
}

// Status 0 is not success: whoever ends the trial would end the daemon.
TEST_F(PluginDriverTest, ALibraryThatEndsTheProcessIsRefusedByName) {
  const auto why_not_in = [this](const char* place) {
    setenv("CYGNET_TEST_LEAVE_IN", place, 1);
    std::string why = WhyNot(Key("plugin", Path("plugin_fault_leave")));
    if (why == "fine") why = WhyNotOpen("plugin_fault_leave");
    unsetenv("CYGNET_TEST_LEAVE_IN");
    return why;
  };
  for (const std::string place : {"dlopen", "cygnet_driver_entry", "open", "close"}) {
    EXPECT_THAT(why_not_in(place.c_str()),
                ContainsRegex("plugin_fault_leave is refused: the library ended the process with "
                              "status [0-9]+ in " +
                              place));
  }
  EXPECT_EQ(why_not_in("nowhere"), "fine");
}

class PluginDriverWireTest : public PluginDriverTest, public testing::WithParamInterface<bool> {};
TEST_P(PluginDriverWireTest, FramesPassItsWire) {
#ifdef CYGNET_SANITIZED
  if (GetParam()) GTEST_SKIP() << "an isolated plug-in has no run time of sanitizers";
#endif
  const DriverInfo* driver = FindDriver("plugin");
  DriverParams params = Params("", 1);
  // Where the user of an isolated plug-in can read it, too.
  chmod(folder_.c_str(), 0755);
  params.options = OptionsOf(
      "plugin", Key("plugin", Path("plugin_null")) + Key("wire_driver", "pcap") +
                    Key("pcap_write", Path("sent.pcap")) + (GetParam() ? "isolate = true\n" : ""));
  {
    auto device = driver->create(params);
    ASSERT_TRUE(device) << device.error().message;
    EXPECT_EQ(device->port->link(), LinkStatus::kUp);
    EXPECT_EQ(device->offload->state(), DeviceState::kUp);
    PacketBatch batch;
    batch.Push(MakeFrame("text"));
    device->port->Transmit(0, &batch, &user.sink);
    for (int i = 0; i < 500 && device->port->stats().tx_packets == 0; ++i) usleep(10'000);
    EXPECT_EQ(device->port->stats().tx_packets, 1u);
  }
  EXPECT_GT(std::filesystem::file_size(Path("sent.pcap")), 60u);
}
INSTANTIATE_TEST_SUITE_P(InAndOutOfTheProcess, PluginDriverWireTest, testing::Bool());

}  // namespace
}  // namespace cygnet
