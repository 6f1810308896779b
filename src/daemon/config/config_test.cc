// Configuration files: defaults, every key and every kind of error.
#include "daemon/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace cygnet {
namespace {

using ::testing::HasSubstr;

constexpr char kDevice[] = "[[device]]\nname = \"nic0\"\nwire = \"eth1\"\n";

std::string ErrorOf(const std::string& text) {
  const auto config = ParseConfig(text, "f.toml");
  return config ? "no error" : config.error().message;
}

std::string OptionOf(const DeviceConfig& device, std::string_view key) {
  const TomlEntry* entry = device.options.Find(key);
  return entry != nullptr ? entry->value.Text() : "none";
}

TEST(ConfigTest, DefaultsAreThoseOfTheSmallestFile) {
  const auto config = ParseConfig(kDevice, "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(*config, DefaultConfig("eth1"));
  EXPECT_EQ(config->workers, 1u);
  EXPECT_FALSE(config->ike_bypass);
  EXPECT_EQ(config->small_packets, 16384u);
  EXPECT_EQ(config->large_packets, std::nullopt);
  EXPECT_EQ(config->jumbo_packets, 256u);
  EXPECT_EQ(config->devices[0].driver, "sim_nic");
  EXPECT_EQ(OptionOf(config->devices[0], "sa_limit"), "1024");
  EXPECT_EQ(OptionOf(config->devices[0], "address_limit"), "128");
  EXPECT_EQ(OptionOf(config->devices[0], "wire_driver"), "\"auto\"");
}

TEST(ConfigTest, TunnelsByIdAndByMark) {
  const std::string text =
      std::string(kDevice) +
      "[[tunnel]]\nname = \"ipsec1\"\nif_id = 4294967295\ncarrier = \"sa\"\n"
      "[[tunnel]]\nname = \"vti0\"\nmark = 0x2a\ndevice = \"nic0\"\nmtu = 1400\n"
      "local = \"192.0.2.1\"\nremote = \"0.0.0.0/0\"\npersist = true\n";
  const auto config = ParseConfig(text, "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->tunnels.size(), 2u);
  EXPECT_EQ(
      config->tunnels[0],
      (TunnelSpec{.name = "ipsec1", .if_id = ~uint32_t{0}, .carrier = TunnelCarrier::kWithSa}));
  EXPECT_EQ(config->tunnels[1], (TunnelSpec{.name = "vti0",
                                            .mark = 42,
                                            .device = "nic0",
                                            .mtu = 1400,
                                            .persist = true,
                                            .local = ParsePrefix("192.0.2.1"),
                                            .remote = ParsePrefix("0.0.0.0/0")}));
  const auto again = ParseConfig(DescribeConfig(*config), "f.toml");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *config);
}

TEST(ConfigTest, InsideInterfacesOfTwoDevices) {
  const auto config = ParseConfig(std::string(kDevice) +
                                      "inside = [\"lan0\"]\n[[device]]\nname = \"nic1\"\n"
                                      "wire = \"eth2\"\ninside = [\"lan0.7\", \"lan1\"]\n",
                                  "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_THAT(config->devices[1].inside, ::testing::ElementsAre("lan0.7", "lan1"));
}

TEST(ConfigTest, WrongInsideInterfaces) {
  const auto error = [](const std::string& names, const std::string& rest = "") {
    return ErrorOf(std::string(kDevice) + "inside = [" + names + "]\n" + rest);
  };
  const std::string second = "[[device]]\nname = \"nic1\"\nwire = \"eth2\"\n";
  EXPECT_THAT(error("\"eth1.7\""), HasSubstr("\"eth1.7\": eth1 belongs to device nic0"));
  EXPECT_THAT(error("\"nic0.7\""), HasSubstr("nic0 belongs to device nic0"));
  EXPECT_THAT(error("\"eth2.7\"", second), HasSubstr("f.toml:4: device.inside: \"eth2.7\": eth2 "));
  EXPECT_THAT(error("\"lan0\"", second + "inside = [\"lan0\"]\n"),
              HasSubstr("device.inside: \"lan0\" is used twice"));
  EXPECT_THAT(error("\"red.7\"", "[[tunnel]]\nname = \"red\"\nif_id = 1\n"),
              HasSubstr("is a tunnel interface"));
  std::string many;
  for (int i = 1; i <= 65; ++i) {
    many += (i > 1 ? ", \"lan0." : "\"lan0.") + std::to_string(i) + "\"";
  }
  EXPECT_THAT(error(many), HasSubstr("at most 64"));
}

TEST(ConfigTest, WrongTunnels) {
  const auto error = [](const std::string& keys) {
    return ErrorOf(kDevice + ("[[tunnel]]\n" + keys));
  };
  EXPECT_THAT(error("if_id = 1\n"), HasSubstr("tunnel.name: missing"));
  EXPECT_THAT(error("name = \"t\"\n"), HasSubstr("a tunnel needs an if_id or a mark"));
  EXPECT_THAT(error("name = \"t\"\nif_id = 1\nmark = 1\n"), HasSubstr("either an if_id or a mark"));
  EXPECT_THAT(error("name = \"nic0\"\nif_id = 1\n"), HasSubstr("\"nic0\" is used twice"));
  EXPECT_THAT(error("name = \"t\"\nif_id = 1\n[[tunnel]]\nname = \"u\"\nif_id = 1\n"),
              HasSubstr("tunnel \"t\" has it already"));
  EXPECT_THAT(error("name = \"t\"\nif_id = 1\ndevice = \"nic1\"\n"),
              HasSubstr("must be one of \"nic0\""));
  EXPECT_THAT(error("name = \"t\"\nif_id = 1\nlocal = \"10.0.0.1\"\n"),
              HasSubstr("local and remote go together"));
  EXPECT_THAT(error("name = \"t\"\nif_id = 1\nlocal = \"10.0.0.1\"\nremote = \"10.0.0.2\"\n"),
              HasSubstr("allowed with a mark only"));
  EXPECT_THAT(error("name = \"t\"\nif_id = 1\ncarrier = \"yes\"\n"),
              HasSubstr("must be one of \"always\", \"sa\""));
}

TEST(ConfigTest, SeveralWorkersHaveAWideWindow) {
  const auto several = ParseConfig(std::string("[daemon]\nworkers = 2\n") + kDevice, "f.toml");
  ASSERT_TRUE(several);
  EXPECT_EQ(several->ReplayWindowMin(), 1024u);
  EXPECT_THAT(DescribeConfig(*several), testing::HasSubstr("\n# replay_window_min = 1024\n"));
  EXPECT_EQ(ParseConfig(kDevice, "f.toml")->ReplayWindowMin(), 0u);
  const auto asked = ParseConfig(
      std::string("[daemon]\nreplay_window_min = 0\nworkers = 2\n") + kDevice, "f.toml");
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->ReplayWindowMin(), 0u);
}

TEST(ConfigTest, ReadsEveryKey) {
  const auto config = ParseConfig(R"(
[daemon]
workers = 8
log_level = "debug"
ike_bypass = true
pass_ether_types = ["lldp", "eapol", 0x88b5]
busy_poll_us = 7
engine = "openssl"
replay_window_min = 1024
flow_cache = 4096
restart_file = "/run/r"
[look_aside]
mode = "no"
threads = 3
queue_depth = 64
session_limit = 7
[pools]
small = 2048
jumbo = 64
[[device]]
name = "nic0"
wire = "eth1"
offload = "no"
profile = "bond"
card_conditions = ["no-memory"]
bond_cards = ["nfp"]
sa_limit = 1
address_limit = 0
fault_script = "/etc/faults"
fault_seed = 4294967295
model = "X550"
serial = "7"
firmware = "1.2"
mtu = 1400
wire_fence = "none"
persist = true
[[device]]
name = "nic1"
wire = "eth2"
offload = "auto"
)",
                                  "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  Config expected{.workers = 8,
                  .log_level = LogLevel::kDebug,
                  .ike_bypass = true,
                  .pass_ether_types = {0x88cc, 0x888e, 0x88b5},
                  .busy_poll_us = 7,
                  .engine = "openssl",
                  .replay_window_min = 1024,
                  .flow_cache = 4096,
                  .restart_file = "/run/r",
                  .small_packets = 2048,
                  .jumbo_packets = 64,
                  .look_aside = {.engine = "",
                                 .mode = LookAsideMode::kNo,
                                 .threads = 3,
                                 .queue_depth = 64,
                                 .session_limit = 7},
                  .devices = {{.name = "nic0",
                               .wire = "eth1",
                               .offload = PlacementMode::kNo,
                               .mtu = 1400,
                               .wire_fence = FenceMode::kNone,
                               .persist = true},
                              {.name = "nic1", .wire = "eth2", .offload = PlacementMode::kAuto}}};
  EXPECT_EQ(PrintEntries(config->devices[0].options),
            "wire_driver = \"auto\"\nprofile = \"bond\"\ncard_conditions = [\"no-memory\"]\n"
            "bond_cards = [\"nfp\"]\nsa_limit = 1\naddress_limit = 0\n"
            "fault_script = \"/etc/faults\"\nfault_seed = 4294967295\nmodel = \"X550\"\n"
            "serial = \"7\"\nfirmware = \"1.2\"\n");
  for (std::size_t i = 0; i < 2; ++i) expected.devices[i].options = config->devices[i].options;
  EXPECT_EQ(*config, expected);
}

TEST(ConfigTest, AProfileHasItsOwnLimits) {
  const auto config = ParseConfig(R"(
[[device]]
name = "nic0"
wire = "eth1"
profile = "netdevsim"
[[device]]
name = "nic1"
wire = "eth2"
profile = "ixgbe"
address_limit = 7
)",
                                  "f.toml");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(OptionOf(config->devices[0], "sa_limit"), "33");
  EXPECT_EQ(OptionOf(config->devices[0], "address_limit"), "0");
  EXPECT_EQ(OptionOf(config->devices[1], "sa_limit"), "1024");
  EXPECT_EQ(OptionOf(config->devices[1], "address_limit"), "7");
}

TEST(ConfigTest, ReadsWires) {
  const auto config = ParseConfig(R"(
[[device]]
name = "nic0"
wire = "eth1"
wire_driver = "af_xdp"
[[device]]
name = "nic1"
driver = "pcap"
pcap_read = "in.pcap"
pcap_write = "out.pcap"
pcap_speed = "recorded"
pcap_mac = "02:00:00:00:aB:ff"
[[device]]
name = "nic2"
wire_driver = "pcap"
)",
                                  "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  const auto& devices = config->devices;
  EXPECT_EQ(OptionOf(devices[0], "wire_driver"), "\"af_xdp\"");
  EXPECT_TRUE(devices[0].owns_interface);
  EXPECT_EQ(PrintEntries(devices[1].options),
            "pcap_read = \"in.pcap\"\npcap_write = \"out.pcap\"\npcap_speed = \"recorded\"\n"
            "pcap_mac = \"02:00:00:00:ab:ff\"\npcap_mtu = 1500\n");
  EXPECT_EQ(devices[1].wire, "");
  EXPECT_FALSE(devices[1].owns_interface);
  EXPECT_FALSE(devices[2].owns_interface) << "two without an interface";
  EXPECT_EQ(OptionOf(devices[2], "pcap_speed"), "\"fast\"") << "the wire's keys are the card's";
  const auto again = ParseConfig(DescribeConfig(*config), "description");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *config);
}

TEST(ConfigTest, ReadsPlacement) {
  const auto config = ParseConfig(R"(
[scheduler]
enabled = true
interval = 7
hysteresis = 150
min_residence = 3
max_moves = 2
[ledger]
file = "/var/lib/cygnet/ledger.jsonl"
max_mib = 2
keep = 9
[numbers]
store = "file"
file = "/var/lib/cygnet/numbers"
[fips]
mode = "auto"
boundary = "/etc/cygnet/boundary.toml"
[audit]
journal = false
linux_audit = false
[[device]]
name = "nic0"
wire = "eth1"
offload = "required"
trusted = false
allow = ["crypto"]
rekey_reserve = 8
loss = "kernel"
verify = 1000
[[placement]]
name = "branch"
reqid = 7
peer = "192.0.2.0/24"
src = "10.1.0.0/16"
dst = "2001:db8::/32"
direction = "in"
mode = "packet"
device = "nic0"
pin = true
[[placement]]
)",
                                  "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->scheduler, (SchedulerParams{.enabled = true,
                                                .interval_seconds = 7,
                                                .hysteresis_percent = 150,
                                                .min_residence_seconds = 3,
                                                .max_moves = 2}));
  EXPECT_EQ(config->ledger,
            (LedgerConfig{.file = "/var/lib/cygnet/ledger.jsonl", .max_mib = 2, .keep = 9}));
  EXPECT_EQ(config->numbers,
            (NumbersConfig{.store = NumbersKept::kFile, .file = "/var/lib/cygnet/numbers"}));
  EXPECT_EQ(config->fips, (FipsConfig{.mode = "auto", .boundary = "/etc/cygnet/boundary.toml"}));
  EXPECT_EQ(config->audit, (AuditConfig{.journal = false, .linux_audit = false}));
  const DeviceConfig& device = config->devices.at(0);
  EXPECT_EQ(device.offload, PlacementMode::kRequired);
  EXPECT_FALSE(device.trusted);
  EXPECT_EQ(device.allow, std::vector<std::string>{"crypto"});
  EXPECT_EQ(device.rekey_reserve, 8u);
  EXPECT_EQ(device.loss, DeviceLoss::kKernel);
  EXPECT_EQ(device.verify, 1000u);
  ASSERT_EQ(config->placement.size(), 2u);
  const PlacementRuleConfig expected{.name = "branch",
                                     .reqid = 7,
                                     .peer = ParsePrefix("192.0.2.0/24"),
                                     .src = ParsePrefix("10.1.0.0/16"),
                                     .dst = ParsePrefix("2001:db8::/32"),
                                     .direction = "in",
                                     .mode = PlacementMode::kPacket,
                                     .device = "nic0",
                                     .pin = true};
  EXPECT_EQ(config->placement[0], expected);
  EXPECT_EQ(config->placement[1], PlacementRuleConfig{});
  const auto again = ParseConfig(DescribeConfig(*config), "description");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *config);
}

TEST(ConfigTest, PlacementThatCannotBeUnderstoodIsAnError) {
  const std::string device = "[[device]]\nname = \"nic0\"\nwire = \"eth1\"\n";
  for (const auto& [text, message] : {
           std::pair("[[placement]]\npeer = \"10.0.0.1/8\"\n", "is not a prefix"),
           {"[[placement]]\ndevice = \"nic1\"\n", "must be one of \"nic0\""},
           {"[[placement]]\nmode = \"yes\"\n", "must be one of"},
           {"[[placement]]\ndirection = \"both\"\n", "must be one of \"in\", \"out\""},
           {"[placement]\n", "must be an array of tables"},
           {"[fips]\nmode = \"maybe\"\n", "fips.mode"},
           {"[scheduler]\nhysteresis = 99\n", "between 100 and 10000"},
       }) {
    const auto config = ParseConfig(device + text, "f.toml");
    ASSERT_FALSE(config) << text;
    EXPECT_THAT(config.error().message, testing::HasSubstr(message));
  }
  EXPECT_FALSE(ParseConfig(device + "allow = [\"fast\"]\n", "f"));
  EXPECT_FALSE(ParseConfig(device + "allow = [\"crypto\", \"crypto\"]\n", "f"));
  EXPECT_FALSE(ParseConfig(device + "rekey_reserve = 2000\n", "f"));
}

TEST(ConfigTest, DescriptionReadsBackToTheSame) {
  Config config = DefaultConfig("eth1");
  config.workers = 3;
  config.log_level = LogLevel::kError;
  config.engine = "openssl";
  config.replay_window_min = 65'536;
  config.restart_file = "/run/\"r\"";
  config.look_aside = {.engine = "", .mode = LookAsideMode::kNo, .threads = 2, .queue_depth = 9};
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->kind != EngineKind::kLookAside) continue;
    config.look_aside.engine = info->name;
    config.look_aside.mode = LookAsideMode::kAuto;
  }
  config.look_aside.engine = "plugin";
  config.look_aside.plugin = "/usr/lib/cygnet/libcygnet_cryptodev.so";
  config.look_aside.plugin_options = {"crypto=0000:3d:01.0", "copy=\"yes\""};
  config.look_aside.isolate = true;
  config.look_aside.isolate_user = "plug\"in";
  DeviceConfig device = config.devices[0];
  device.name = "n\"1";
  device.wire = "w\\";
  device.offload = PlacementMode::kAuto;
  for (TomlEntry& entry : device.options.entries) {
    if (entry.key == "fault_script") entry.value = TomlValue(std::string("a \"script\""));
    if (entry.key == "model") entry.value = TomlValue(std::string("m\n\x7f ü"));
  }
  config.devices.push_back(device);
  const auto again = ParseConfig(DescribeConfig(config), "description");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, config);
}

struct ErrorCase {
  const char* name;
  std::string text;
  std::string message;
};

std::string WithDevice(const std::string& line) { return kDevice + line; }

const ErrorCase kErrors[] = {
    {"Syntax", "[daemon\n", "f.toml:1: "},
    {"KeyTwice", "[daemon]\nworkers = 1\nworkers = 2\n", "f.toml:3: "},
    {"Empty", "", "f.toml: device: needs at least one [[device]] table"},
    {"DeviceIsTable", "[device]\nname = \"a\"\n",
     "f.toml:1: device: must be an array of tables: [[device]], is a table"},
    {"DeviceIsEmptyArray", "device = []\n",
     "f.toml:1: device: must be an array of tables: [[device]], is an array"},
    {"UnknownTable", "[dameon]\n", "f.toml:1: dameon: unknown table; did you mean \"daemon\"?"},
    {"UnknownArray", "[[devices]]\n", "f.toml:1: devices: unknown table; did you mean \"device\"?"},
    {"UnknownTopKey", "colour = 1\n", "f.toml:1: colour: unknown key"},
    {"DaemonIsNumber", "daemon = 1\n",
     "f.toml:1: daemon: must be a table: [daemon], is an integer"},
    {"UnknownDaemonKey", "[daemon]\n\nworker = 1\n",
     "f.toml:3: daemon.worker: unknown key; did you mean \"workers\"?"},
    {"WorkersZero", "[daemon]\nworkers = 0\n",
     "f.toml:2: daemon.workers: must be between 1 and 8, is 0"},
    {"WorkersMany", "[daemon]\nworkers = 9\n",
     "f.toml:2: daemon.workers: must be between 1 and 8, is 9"},
    {"WorkersNegative", "[daemon]\nworkers = -4294967295\n",
     "f.toml:2: daemon.workers: must be between 1 and 8, is -4294967295"},
    {"WorkersText", "[daemon]\nworkers = \"2\"\n",
     "f.toml:2: daemon.workers: must be an integer, is a string"},
    {"WorkersFloat", "[daemon]\nworkers = 2.0\n",
     "f.toml:2: daemon.workers: must be an integer, is a floating-point number"},
    {"LogLevel", "[daemon]\nlog_level = \"loud\"\n",
     "f.toml:2: daemon.log_level: must be one of \"debug\", \"info\", \"warning\", \"error\", is "
     "\"loud\""},
    {"LogLevelNear", "[daemon]\nlog_level = \"warnin\"\n", "did you mean \"warning\"?"},
    {"EtherTypesNoArray", "[daemon]\npass_ether_types = 1\n",
     "f.toml:2: daemon.pass_ether_types: must be an array, is an integer"},
    {"EtherTypeUnknown", "[daemon]\npass_ether_types = [\"lldb\"]\n",
     "f.toml:2: daemon.pass_ether_types: must be one of \"lldp\", \"eapol\", \"slow\", \"ptp\", "
     "\"cfm\", \"profinet\", is \"lldb\"; did you mean \"lldp\"?"},
    {"EtherTypeOfOtherKind", "[daemon]\npass_ether_types = [true]\n",
     "f.toml:2: daemon.pass_ether_types: must hold names or numbers, holds a boolean"},
    {"EtherTypeThatIsALength", "[daemon]\npass_ether_types = [0x5ff]\n",
     "f.toml:2: daemon.pass_ether_types: 0x5ff is not an ether type (0x600 to 0xffff)"},
    {"EtherTypeOfArp", "[daemon]\npass_ether_types = [0x806]\n",
     "f.toml:2: daemon.pass_ether_types: well-formed ARP always passes"},
    {"EtherTypeWithIpInIt", "[daemon]\npass_ether_types = [0x8864]\n",
     "f.toml:2: daemon.pass_ether_types: 0x8864 carries IP that policies would not see"},
    {"EtherTypeTwice", "[daemon]\npass_ether_types = [\"lldp\", 0x88cc]\n",
     "f.toml:2: daemon.pass_ether_types: 0x88cc is given twice"},
    {"EtherTypesTooMany",
     "[daemon]\npass_ether_types = [0x600, 0x601, 0x602, 0x603, 0x604, 0x605, 0x606, 0x607, 0x608, "
     "0x609, 0x60a, 0x60b, 0x60c, 0x60d, 0x60e, 0x60f, 0x610]\n",
     "f.toml:2: daemon.pass_ether_types: has 17 entries, at most 16 are allowed"},
    {"IkeBypass", "[daemon]\nike_bypass = 1\n",
     "f.toml:2: daemon.ike_bypass: must be true or false, is an integer"},
    {"EngineUnknown", "[daemon]\nengine = \"openssI\"\n",
     "f.toml:2: daemon.engine: must be one of "},
    {"WindowAboveTheLargest", "[daemon]\nreplay_window_min = 65537\n",
     "f.toml:2: daemon.replay_window_min: must be between 0 and 65536, is 65537"},
    {"PluginWithoutALibrary", "[look_aside]\nengine = \"plugin\"\nmode = \"auto\"\n",
     "look_aside.plugin: missing, but required with engine = \"plugin\""},
    {"LibraryWithoutThePlugin", "[look_aside]\nplugin = \"/usr/lib/a.so\"\n",
     "f.toml:2: look_aside.plugin: allowed with engine = \"plugin\" only"},
    {"IsolateWithoutThePlugin", "[look_aside]\nisolate = true\n",
     "f.toml:2: look_aside.isolate: allowed with engine = \"plugin\" only"},
    {"LibraryWithARelativePath", "[look_aside]\nengine = \"plugin\"\nplugin = \"a.so\"\n",
     "f.toml:3: look_aside.plugin: not an absolute path"},
    {"LookAsideUnknownKey", "[look_aside]\nthread = 1\n",
     "f.toml:2: look_aside.thread: unknown key; did you mean \"threads\"?"},
    {"LookAsideIsCpuEngine", "[look_aside]\nengine = \"openssl\"\n",
     "f.toml:2: look_aside.engine: must be one of "},
    {"LookAsideMode", "[look_aside]\nmode = \"yes\"\n",
     "f.toml:2: look_aside.mode: must be one of \"no\", \"auto\", is \"yes\""},
    {"LookAsideWithoutEngine", "[look_aside]\nmode = \"auto\"\n",
     "f.toml:1: look_aside.engine: missing, but required unless mode is \"no\""},
    {"LookAsideThreads", "[look_aside]\nthreads = 17\n",
     "f.toml:2: look_aside.threads: must be between 1 and 16, is 17"},
    {"LookAsideDepth", "[look_aside]\nqueue_depth = 0\n",
     "f.toml:2: look_aside.queue_depth: must be between 1 and 65536, is 0"},
    {"LookAsideIsNumber", "look_aside = 1\n",
     "f.toml:1: look_aside: must be a table: [look_aside], is an integer"},
    {"EngineType", "[daemon]\nengine = true\n",
     "f.toml:2: daemon.engine: must be a string, is a boolean"},
    {"PoolsUnknown", "[pools]\nhuge = 1\n", "f.toml:2: pools.huge: unknown key"},
    {"LargeFew", "[pools]\nlarge = 255\n",
     "f.toml:2: pools.large: must be 0 or between 256 and 262144, is 255"},
    {"SmallFew", "[pools]\nsmall = 1023\n",
     "f.toml:2: pools.small: must be between 1024 and 1048576, is 1023"},
    {"JumboMany", "[pools]\njumbo = 16385\n",
     "f.toml:2: pools.jumbo: must be between 16 and 16384, is 16385"},
    {"NameMissing", "\n[[device]]\nwire = \"eth1\"\n", "f.toml:2: device.name: missing"},
    {"WireMissing", "[[device]]\nname = \"nic0\"\n", "f.toml:1: device.wire: missing"},
    {"NameEmpty", "[[device]]\nname = \"\"\nwire = \"eth1\"\n",
     "f.toml:2: device.name: \"\" is not an interface name"},
    {"NameLong", "[[device]]\nname = \"sixteen-bytes-16\"\nwire = \"eth1\"\n",
     "f.toml:2: device.name: \"sixteen-bytes-16\" is not an interface name (1 to 15 bytes"},
    {"WireSlash", "[[device]]\nname = \"nic0\"\nwire = \"a/b\"\n",
     "f.toml:3: device.wire: \"a/b\" is not an interface name"},
    {"NameType", "[[device]]\nname = 5\n",
     "f.toml:2: device.name: must be a string, is an integer"},
    {"DeviceUnknown", WithDevice("offlaod = \"no\"\n"),
     "f.toml:4: device.offlaod: unknown key; did you mean \"offload\"?"},
    {"DriverUnknown", WithDevice("driver = \"simnic\"\n"),
     "f.toml:4: device.driver: must be one of "},
    {"WireDriverOfAPlainDevice", WithDevice("driver = \"af_packet\"\nwire_driver = \"af_xdp\"\n"),
     "f.toml:5: device.wire_driver: driver \"af_packet\" does not have this key"},
    {"SaLimitOfAPlainDevice", WithDevice("driver = \"auto\"\nsa_limit = 7\n"),
     "f.toml:5: device.sa_limit: driver \"auto\" does not have this key"},
    {"KeyOfAnotherWire", WithDevice("pcap_read = \"f\"\n"),
     "f.toml:4: device.pcap_read: wire_driver \"auto\" does not have this key"},
    {"WireOfCaptureFiles", WithDevice("driver = \"pcap\"\n"),
     "f.toml:3: device.wire: not allowed with capture files"},
    {"WireOfAfXdpMissing", "[[device]]\nname = \"a\"\ndriver = \"af_xdp\"\n",
     "device.wire: missing"},
    {"PcapMac", "[[device]]\nname = \"a\"\ndriver = \"pcap\"\npcap_mac = \"2:0:0:0:0:1\"\n",
     "f.toml:4: device.pcap_mac: \"2:0:0:0:0:1\" is not a unicast MAC address"},
    {"PcapMulticastMac",
     "[[device]]\nname = \"a\"\nwire_driver = \"pcap\"\npcap_mac = \"01:00:00:00:00:01\"\n",
     "f.toml:4: device.pcap_mac: "},
    {"ReserveAboveTheLimit", WithDevice("sa_limit = 8\nrekey_reserve = 9\n"),
     "f.toml:5: device.rekey_reserve: must be between 0 and 8, is 9"},
    {"ModeByItsOldName", WithDevice("[[placement]]\noffload = \"no\"\n"),
     "f.toml:5: placement.offload: unknown key"},
    {"DriverHint", WithDevice("driver = \"simnic\"\n"), "did you mean \"sim_nic\"?"},
    {"Offload", WithDevice("offload = \"yes\"\n"),
     "f.toml:4: device.offload: must be one of \"no\", \"crypto\", \"packet\", \"auto\", "
     "\"required\", is \"yes\""},
    {"OffloadBool", WithDevice("offload = true\n"),
     "f.toml:4: device.offload: must be a string, is a boolean"},
    {"ThreeBondCards", WithDevice("bond_cards = [\"nfp\", \"ixgbe\", \"cn10k\"]\n"),
     "f.toml:4: device.bond_cards: needs one or two cards"},
    {"BondOfBonds", WithDevice("bond_cards = [\"bond\"]\n"),
     "f.toml:4: device.bond_cards: must be one of \"generic\""},
    {"SaLimitZero", WithDevice("sa_limit = 0\n"),
     "f.toml:4: device.sa_limit: must be between 1 and 100000, is 0"},
    {"SaLimitMany", WithDevice("sa_limit = 100001\n"),
     "f.toml:4: device.sa_limit: must be between 1 and 100000, is 100001"},
    {"AddressLimitMany", WithDevice("address_limit = 100001\n"),
     "f.toml:4: device.address_limit: must be between 0 and 100000, is 100001"},
    {"FaultScriptType", WithDevice("fault_script = 1\n"),
     "f.toml:4: device.fault_script: must be a string, is an integer"},
    {"FaultSeedNegative", WithDevice("fault_seed = -1\n"),
     "f.toml:4: device.fault_seed: must be between 0 and 4294967295, is -1"},
    {"MtuSmall", WithDevice("mtu = 1279\n"),
     "f.toml:4: device.mtu: must be 0 or between 1280 and 9216, is 1279"},
    {"MtuNegative", WithDevice("mtu = -1\n"),
     "f.toml:4: device.mtu: must be 0 or between 1280 and 9216, is -1"},
    {"Persist", WithDevice("persist = \"yes\"\n"),
     "f.toml:4: device.persist: must be true or false, is a string"},
    {"WireFence", WithDevice("wire_fence = \"iptables\"\n"),
     "f.toml:4: device.wire_fence: must be one of \"nft\", \"none\", is \"iptables\""},
    {"NameTwice", WithDevice("[[device]]\nname = \"nic0\"\nwire = \"eth2\"\n"),
     "f.toml:5: device.name: \"nic0\" is used twice in this file"},
    {"WireTwice", WithDevice("[[device]]\nname = \"nic1\"\nwire = \"eth1\"\n"),
     "f.toml:6: device.wire: \"eth1\" is used twice in this file"},
    {"WireIsName", "[[device]]\nname = \"nic0\"\nwire = \"nic0\"\n",
     "f.toml:3: device.wire: \"nic0\" is used twice in this file"},
};

class ConfigErrorTest : public ::testing::TestWithParam<ErrorCase> {};

TEST_P(ConfigErrorTest, SaysWhereAndWhat) {
  EXPECT_THAT(ErrorOf(GetParam().text), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(Errors, ConfigErrorTest, ::testing::ValuesIn(kErrors),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(ConfigTest, InterfaceNamesAreThoseOfLinux) {
  using std::string_view_literals::operator""sv;
  for (const auto name : {"a"sv, "eth0.100"sv, "fifteen-bytes-x"sv, "é"sv}) {
    EXPECT_TRUE(IsInterfaceName(name)) << name;
  }
  for (const auto name : {""sv, "."sv, ".."sv, "a b"sv, "a\t"sv, "eth0:1"sv, "nic%d"sv, "a/b"sv,
                          "a\0b"sv, "sixteen-bytes-16"sv}) {
    EXPECT_FALSE(IsInterfaceName(name)) << name;
  }
}

TEST(ConfigTest, SaysWhyAFileCannotBeRead) {
  const auto missing = LoadConfig("/no/such/cygnetd.toml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kNoEntry);
  EXPECT_EQ(missing.error().message, "/no/such/cygnetd.toml: No such file or directory");
  const std::string folder = std::filesystem::temp_directory_path();
  const auto not_a_file = LoadConfig(folder);
  ASSERT_FALSE(not_a_file);
  EXPECT_EQ(not_a_file.error().message, folder + ": Is a directory");
}

TEST(ConfigTest, ExampleShowsTheDefaults) {
  const auto config = LoadConfig(CYGNET_EXAMPLE_CONFIG);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(*config, DefaultConfig("eth1"));
}

// --- A cluster ---

constexpr char kCluster[] =
    "[cluster]\nname = \"c\"\nnode = \"gw1\"\nendpoints = [\"https://192.0.2.9:2379\"]\n"
    "ca_file = \"/ca\"\nheartbeat = \"[2001:db8::2]:4712\"\nsecret_file = \"/s\"\n";
constexpr char kGroup[] =
    "[[cluster_group]]\nname = \"vpn\"\n"
    "addresses = [\"192.0.2.1/24 dev nic0\", \"2001:db8::1/64 dev nic0\"]\n";

TEST(ConfigTest, ReadsAClusterAndPrintsItBack) {
  const auto config = ParseConfig(std::string(kCluster) +
                                      "certificate = \"/c\"\nprivate_key = \"/k\"\n"
                                      "state_file = \"/st\"\nshare = \"sas\"\n"
                                      "wrapping_keys = [\"/w1\", \"/w2\"]\n"
                                      "inbound = \"checkpoint\"\n" +
                                      kDevice + kGroup + "prefer = \"gw2\"\n",
                                  "f.toml");
  ASSERT_TRUE(config) << config.error().message;
  const ClusterConfig& cluster = config->cluster;
  EXPECT_EQ(cluster.name, "c");
  EXPECT_EQ(cluster.node, "gw1");
  EXPECT_EQ(cluster.share, ClusterShare::kSas);
  EXPECT_EQ(cluster.inbound, ClusterInbound::kCheckpoint);
  EXPECT_EQ(cluster.wrapping_keys, (std::vector<std::string>{"/w1", "/w2"}));
  ASSERT_EQ(cluster.groups.size(), 1u);
  EXPECT_EQ(cluster.groups[0].addresses.size(), 2u);
  EXPECT_EQ(cluster.groups[0].prefer, "gw2");
  const auto again = ParseConfig(DescribeConfig(*config), "f.toml");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *config);
}

TEST(ConfigTest, AClusterThatCannotBeSafeIsRefused) {
  const std::string good = std::string(kCluster) + kDevice + kGroup;
  EXPECT_EQ(ErrorOf(good), "no error");
  const auto with = [&good](const std::string& what, const std::string& instead) {
    std::string text = good;
    const std::size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return ErrorOf(text.replace(at, what.size(), instead));
  };
  EXPECT_THAT(with("name = \"c\"\n", ""), HasSubstr("cluster.name: missing"));
  EXPECT_THAT(with("node = \"gw1\"\n", ""), HasSubstr("cluster.node: missing"));
  EXPECT_THAT(with("gw1", "gw/1"), HasSubstr("\"gw/1\" is not a name"));
  EXPECT_THAT(with("https://", "http://"), HasSubstr("without TLS"));
  EXPECT_EQ(with("https://192.0.2.9", "http://127.0.0.1"), "no error");
  EXPECT_THAT(with("https://192.0.2.9:2379", "192.0.2.9:2379"), HasSubstr("is not an endpoint"));
  EXPECT_THAT(with("https://192.0.2.9:2379", "https://192.0.2.9"), HasSubstr("no host and port"));
  EXPECT_THAT(with("ca_file = \"/ca\"\n", ""), HasSubstr("cluster.ca_file: missing"));
  EXPECT_THAT(with("ca_file", "certificate = \"/c\"\nca_file"),
              HasSubstr("cluster.private_key: missing"));
  EXPECT_THAT(with("[2001:db8::2]:4712", "2001:db8::2:4712"), HasSubstr("cluster.heartbeat"));
  EXPECT_THAT(with("heartbeat", "share = \"sas\"\nheartbeat"), HasSubstr("wrapping_keys: missing"));
  EXPECT_THAT(with("heartbeat", "wrapping_keys = [\"/w\"]\nheartbeat"),
              HasSubstr("allowed with share"));
  EXPECT_THAT(with("192.0.2.1/24 dev nic0", "192.0.2.1/24"), HasSubstr("not a virtual address"));
  EXPECT_THAT(with("192.0.2.1/24 dev nic0", "192.0.2.1/33 dev nic0"),
              HasSubstr("not the address of one host"));
  EXPECT_THAT(with(kGroup, ""), HasSubstr("at least one [[cluster_group]]"));
  EXPECT_THAT(with(kCluster, ""), HasSubstr("needs a [cluster] with a name"));
  EXPECT_THAT(ErrorOf(good + kGroup), HasSubstr("\"vpn\" is used twice"));
  EXPECT_THAT(ErrorOf(good + "[[cluster_group]]\nname = \"b\"\n"
                             "addresses = [\"192.0.2.1/32 dev nic1\"]\n"),
              HasSubstr("belongs to group vpn, too"));
  EXPECT_THAT(ErrorOf("[numbers]\nstore = \"file\"\n" + good), HasSubstr("must be \"none\""));
}

// --- The documents name exactly the existing keys ---

using Keys = std::map<std::string, std::set<std::string>>;

Keys KeysOfTheTables() {
  Keys keys;
  for (const ConfigSection& section : ConfigSections()) {
    for (const FieldInfo& field : section.fields) {
      keys[std::string(section.name)].insert(std::string(field.key));
    }
  }
  return keys;
}

// `heading` and `key` have one group each. Every word of the key's group is a key.
Keys KeysOfText(const std::string& path, const char* heading, const char* key) {
  Keys keys;
  std::ifstream file(path);
  std::string section;
  const std::regex heading_line(heading), key_line(key), word("[a-z_]+");
  for (std::string line; std::getline(file, line);) {
    std::smatch found;
    if (std::regex_match(line, found, heading_line)) {
      section = found[1];
    } else if (!section.empty() && std::regex_match(line, found, key_line)) {
      const std::string names = found[1];
      for (std::sregex_iterator i(names.begin(), names.end(), word), end; i != end; ++i) {
        keys[section].insert(i->str());
      }
    }
  }
  return keys;
}

TEST(ConfigDocumentsTest, TheExampleNamesEveryKey) {
  EXPECT_EQ(
      KeysOfText(CYGNET_EXAMPLE_CONFIG, R"((?:# )?\[+([a-z_]+)\]+)", R"((?:# )?([a-z_]+) = .*)"),
      KeysOfTheTables());
}

TEST(ConfigDocumentsTest, TheManualPageNamesEveryKey) {
  Keys keys = KeysOfText(CYGNET_MAN_PAGE, R"(# (?:\[+([a-z_]+)\]+|[A-Z ]+))",
                         R"((\*[a-z_]+\*(?:, \*[a-z_]+\*)*))");
  EXPECT_EQ(keys, KeysOfTheTables());
}

TEST(ConfigDocumentsTest, TheListOfKeysSaysWhatMayStandThere) {
  const std::string text = DescribeKeys();
  EXPECT_THAT(text, HasSubstr("[daemon]\nworkers            worker threads (1 to 8)\n"));
  EXPECT_THAT(text, HasSubstr("(\"nft\", \"none\")\n"));
  EXPECT_THAT(text, HasSubstr("\nsa_limit           SA slots of each direction (1 to 100000)\n"));
}

}  // namespace
}  // namespace cygnet
