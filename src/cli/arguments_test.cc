// The command line: the requests it makes and the input it refuses.
#include "cli/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cygnet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using Words = std::vector<const char*>;

struct RequestCase {
  Words words;
  std::string request;
};

TEST(ArgumentsTest, MakesRequests) {
  const RequestCase kCases[] = {
      {{"sa"}, R"({"command":"sa"})"},
      {{"s"}, R"({"command":"sa"})"},
      {{"sa", "list"}, R"({"command":"sa"})"},
      {{"sa", "show"}, R"({"command":"sa"})"},
      {{"sa", "l"}, R"({"command":"sa"})"},
      {{"sa", "spi", "0x1000"}, R"({"command":"sa","spi":4096})"},
      {{"sa", "sh", "dst", "192.0.2.2", "src", "2001:db8::1", "reqid", "7", "--show-keys"},
       R"({"command":"sa","dst":"192.0.2.2","src":"2001:db8::1","reqid":7,"show_keys":true})"},
      {{"policy"}, R"({"command":"policy"})"},
      {{"pol", "list"}, R"({"command":"policy"})"},
      {{"dev"}, R"({"command":"dev"})"},
      {{"d", "show", "dev", "nic0"}, R"({"command":"dev","name":"nic0"})"},
      {{"dev", "dev", "nic0"}, R"({"command":"dev","name":"nic0"})"},
      {{"dev", "nic0"}, R"({"command":"dev","name":"nic0"})"},
      {{"stat"}, R"({"command":"stat"})"},
      {{"st", "-a"}, R"({"command":"stat"})"},
      {{"stat", "sa"}, R"({"command":"sa"})"},
      {{"stat", "sa", "spi", "0x1000", "dst", "192.0.2.2"},
       R"({"command":"sa","spi":4096,"dst":"192.0.2.2"})"},
      {{"engine"}, R"({"command":"engine"})"},
      {{"eng", "list"}, R"({"command":"engine"})"},
      {{"mtu", "explain", "10.2.0.1"}, R"({"command":"mtu","dst":"10.2.0.1"})"},
      {{"why", "10.2.0.1"}, R"({"command":"why","dst":"10.2.0.1"})"},
      {{"why", "10.2.0.1", "proto", "udp", "sport", "5", "dport", "80", "dev", "red", "src",
        "10.1.0.1"},
       R"({"command":"why","dst":"10.2.0.1","proto":17,"sport":5,"dport":80,"dev":"red","src":"10.1.0.1"})"},
      {{"why", "10.2.0.1", "proto", "gre", "key", "5"},
       R"({"command":"why","dst":"10.2.0.1","proto":47,"key":5})"},
      {{"m", "ex", "fd02::1", "src", "fd01::1", "proto", "tcp", "dport", "80"},
       R"({"command":"mtu","dst":"fd02::1","src":"fd01::1","proto":6,"dport":80})"},
      {{"mtu", "explain", "10.2.0.1", "proto", "99"},
       R"({"command":"mtu","dst":"10.2.0.1","proto":99})"},
      {{"fips"}, R"({"command":"fips"})"},
      {{"f", "show"}, R"({"command":"fips"})"},
      {{"fips", "reload"}, R"({"command":"fips","action":"reload"})"},
      {{"fips", "mode", "auto"}, R"({"command":"fips","action":"mode","mode":"auto"})"},
      {{"doctor"}, R"({"command":"doctor"})"},
      {{"doctor", "--fips"}, R"({"command":"fips"})"},
      {{"reload"}, R"({"command":"reload"})"},
      {{"capture", "dev", "nic0", "side", "wire"},
       R"({"command":"capture","device":"nic0","side":"wire"})"},
      {{"capture", "dev", "nic0", "side", "guard"},
       R"({"command":"capture","device":"nic0","side":"guard"})"},
      {{"c", "side", "host", "dev", "nic0", "snaplen", "128", "count", "5", "write", "f"},
       R"({"command":"capture","side":"host","device":"nic0","snaplen":128})"},
      {{"capture", "dev", "nic0"}, R"({"command":"capture","device":"nic0"})"},
      {{"capture", "dev", "nic0", "--with-keys", "write", "f"},
       R"({"command":"capture","device":"nic0","with_keys":true})"},
      {{"extcap", "--extcap-interfaces", "--extcap-version=4.0"}, R"({"command":"dev"})"},
      {{"extcap", "--capture", "--extcap-interface", "cygnet-nic0", "--fifo", "f", "--side", "both",
        "--snaplen=99"},
       R"({"command":"capture","device":"nic0","snaplen":99})"},
      {{"extcap", "--capture", "--extcap-interface=cygnet-nic0", "--fifo=f", "--side", "wire"},
       R"({"command":"capture","device":"nic0","side":"wire"})"},
      {{"ledger"}, R"({"command":"ledger"})"},
      {{"l", "show", "dev", "nic0", "spi", "0x10", "dst", "192.0.2.2", "current"},
       R"({"command":"ledger","holder":"nic0","spi":16,"dst":"192.0.2.2","current":true})"},
      {{"ledger", "holder", "openssl"}, R"({"command":"ledger","holder":"openssl"})"},
      {{"offload", "disable", "dev", "nic0"},
       R"({"command":"offload","action":"disable","device":"nic0"})"},
      {{"o", "en", "dev", "nic0"}, R"({"command":"offload","action":"enable","device":"nic0"})"},
      {{"placement", "set", "spi", "0x1000", "dst", "192.0.2.2", "reqid", "7", "mode", "crypto",
        "dev", "nic0", "pin"},
       R"({"command":"placement","action":"set","spi":4096,"dst":"192.0.2.2","reqid":7,)"
       R"("mode":"crypto","device":"nic0","pin":true})"},
      {{"placement", "unset", "reqid", "7"},
       R"({"command":"placement","action":"unset","reqid":7})"},
      {{"pl", "u", "reqid", "7"}, R"({"command":"placement","action":"unset","reqid":7})"},
      {{"p"}, R"({"command":"policy"})"},
      {{"offload",
        "explain",
        "aead",
        "rfc4106(gcm(aes))",
        "256",
        "96",
        "mode",
        "transport",
        "encap",
        "espinudp",
        "replay-window",
        "64",
        "flag",
        "esn",
        "tfc",
        "family",
        "inet6",
        "dir",
        "in",
        "offload",
        "auto",
        "dev",
        "nic0"},
       R"j({"command":"explain","aead":"rfc4106(gcm(aes))","key_bits":256,"icv_bits":96,)j"
       R"("mode":"transport","encap":true,"replay_window":64,"esn":true,"tfc":true,"ipv6":true,)"
       R"("direction":"in","offload":"auto","device":"nic0"})"},
      {{"o", "ex", "dev", "nic0", "auth", "hmac(sha256)", "128", "enc", "cbc(aes)", "128"},
       R"j({"command":"explain","device":"nic0","auth":"hmac(sha256)","icv_bits":128,)j"
       R"j("cipher":"cbc(aes)","key_bits":128})j"},
      {{"o", "e", "aead", "x", "dev", "nic0", "esn"},
       R"({"command":"explain","aead":"x","device":"nic0","esn":true})"},
      {{"sim", "dev", "nic0", "reset", "after", "3"},
       R"({"command":"fault","device":"nic0","fault":"reset after 3"})"},
      {{"metrics"}, "null"},
      {{"offload"}, R"({"command":"offload"})"},
      {{"offload", "l"}, R"({"command":"offload"})"},
      {{"offload", "disable", "nic0"},
       R"({"command":"offload","action":"disable","device":"nic0"})"},
      {{"sim", "nic0", "link-down"}, R"({"command":"fault","device":"nic0","fault":"link-down"})"},
      {{"monitor"}, R"({"command":"monitor"})"},
      {{"monitor", "sa", "device"}, R"({"command":"monitor","events":["sa","device"]})"},
      {{"why", "10.2.0.1", "dev", "nic0", "sport", "5"},
       R"({"command":"why","dst":"10.2.0.1","dev":"nic0","sport":5})"},
  };
  for (const auto& row : kCases) {
    const auto arguments = ParseArguments(row.words);
    ASSERT_TRUE(arguments) << row.request << ": " << arguments.error().message;
    EXPECT_EQ(arguments->request.dump(), row.request);
  }
}

TEST(ArgumentsTest, ReadsOptionsWhereverTheyStand) {
  EXPECT_FALSE(ParseArguments(Words{"sa"})->json);
  for (const Words& words : {Words{"-j", "sa"},
                             {"sa", "-j"},
                             {"sa", "list", "--json"},
                             {"sa", "dst", "192.0.2.2", "-json"},
                             {"--json", "stat"}}) {
    const auto arguments = ParseArguments(words);
    ASSERT_TRUE(arguments) << arguments.error().message;
    EXPECT_TRUE(arguments->json);
  }
  EXPECT_FALSE(ParseArguments(Words{"stat"})->HasLocal("all"));
  EXPECT_TRUE(ParseArguments(Words{"stat", "--all"})->HasLocal("all"));
  EXPECT_TRUE(ParseArguments(Words{"dev", "nic0", "-s"})->statistics);
  EXPECT_TRUE(ParseArguments(Words{"-s", "dev", "nic0"})->statistics);
  EXPECT_TRUE(ParseArguments(Words{"sa", "-br"})->brief);
  EXPECT_TRUE(ParseArguments(Words{"sa", "-p", "-j"})->pretty);
  EXPECT_EQ(ParseArguments(Words{"version"})->object, Object::kVersion);
}

TEST(ArgumentsTest, HelpAndVersionMayStandAnywhere) {
  for (const Words& words : {Words{"-h"},
                             {"help"},
                             {"sa", "help"},
                             {"sa", "-h"},
                             {"-j", "sa", "--help"},
                             {"sa", "spi", "-h"},
                             {"offload", "-h"},
                             {"ledger", "verify", "help"},
                             {"exec", "-h"},
                             {"help", "sa"}}) {
    const auto arguments = ParseArguments(words);
    ASSERT_TRUE(arguments) << arguments.error().message;
    EXPECT_EQ(arguments->object, Object::kHelp);
  }
  EXPECT_EQ(ParseArguments(Words{"sa", "-h"})->help_for->word, "sa");
  EXPECT_EQ(ParseArguments(Words{"help", "off"})->help_for->word, "offload");
  EXPECT_EQ(ParseArguments(Words{"help"})->help_for, nullptr);
  EXPECT_EQ(ParseArguments(Words{"-V"})->object, Object::kVersion);
  EXPECT_EQ(ParseArguments(Words{"sa", "-V"})->object, Object::kVersion);
}

TEST(ArgumentsTest, ReadsWatchColorAndSum) {
  EXPECT_EQ(ParseArguments(Words{"sa"})->watch, std::nullopt);
  EXPECT_EQ(ParseArguments(Words{"sa", "--watch"})->watch, 2.0);
  EXPECT_EQ(ParseArguments(Words{"sa", "--watch", "5"})->watch, 5.0);
  EXPECT_EQ(ParseArguments(Words{"sa", "--watch=0.5"})->watch, 0.5);
  const auto filtered = ParseArguments(Words{"--watch", "dev", "nic0"});
  EXPECT_EQ(filtered->watch, 2.0);
  EXPECT_EQ(filtered->request["name"], "nic0");
  EXPECT_EQ(ParseArguments(Words{"sa"})->color, ColorWhen::kAuto);
  EXPECT_EQ(ParseArguments(Words{"-c", "sa"})->color, ColorWhen::kAlways);
  EXPECT_EQ(ParseArguments(Words{"sa", "--color=never"})->color, ColorWhen::kNever);
  EXPECT_EQ(ParseArguments(Words{"-c=auto", "stored"})->color, ColorWhen::kAuto);
  EXPECT_EQ(ParseArguments(Words{"sa", "--sum", "peer"})->sum, "peer");
  EXPECT_EQ(ParseArguments(Words{"sa", "--sum=device", "-j"})->sum, "device");
}

TEST(ArgumentsTest, ReadsWhatIsNotForTheDaemon) {
  const auto plain = ParseArguments(Words{"capture", "dev", "nic0", "side", "host"});
  EXPECT_EQ(plain->WriteFile(), "-");
  EXPECT_FALSE(plain->HasLocal("count"));
  const auto full = ParseArguments(
      Words{"capture", "dev", "nic0", "side", "host", "write", "/tmp/f", "count", "3"});
  EXPECT_EQ(full->WriteFile(), "/tmp/f");
  EXPECT_EQ(full->local["count"], 3);
  const auto extcap = ParseArguments(
      Words{"extcap", "--capture", "--fifo", "/tmp/f", "--extcap-interface", "cygnet-nic0"});
  EXPECT_EQ(extcap->WriteFile(), "/tmp/f");
  EXPECT_TRUE(extcap->HasLocal("capture"));
  const auto top = ParseArguments(Words{"top", "-d", "0.5", "--once", "sort", "rate", "spi", "1"});
  EXPECT_EQ(top->local.dump(), R"({"delay":0.5,"once":true,"sort":"rate"})");
  EXPECT_EQ(top->request.dump(), R"({"command":"sa","spi":1})");
  const auto report = ParseArguments(Words{"ledger", "report", "a", "b", "--from", "2026-11-28"});
  EXPECT_EQ(report->local.dump(), R"({"files":["a","b"],"from":1795824000000})");
  EXPECT_TRUE(report->request.is_null());
}

TEST(ArgumentsTest, FindsTheWordsThatAreNotOurs) {
  EXPECT_EQ(ParseArguments(Words{"exec", "--", "ip", "--", "-s"})->rest_at, 2u);
  EXPECT_EQ(ParseArguments(Words{"exec", "ip"})->rest_at, 1u);
  EXPECT_EQ(ParseArguments(Words{"exec", "help"})->object, Object::kExec);
  EXPECT_EQ(ParseArguments(Words{"exec", "--", "-h"})->object, Object::kExec);
  const auto web = ParseArguments(Words{"-c=auto", "web", "--port", "1"});
  ASSERT_TRUE(web) << web.error().message;
  EXPECT_EQ(web->object, Object::kCompanion);
  EXPECT_EQ(web->rest_at, 2u);
}

TEST(ArgumentsTest, SaysWhatIsWrong) {
  const struct {
    Words words;
    const char* message;
  } kCases[] = {
      {{}, "no object given"},
      {{""}, "no object given"},
      {{"-x"}, "unknown option \"-x\""},
      {{"sas"}, "unknown object \"sas\"; did you mean \"sa\"?"},
      {{"xyzzy"}, "unknown object \"xyzzy\"; try \"cygnet help\""},
      {{"state"}, "unknown object \"state\""},
      {{"sa", "delete"},
       "sa: unknown keyword \"delete\"; must be \"list\", \"spi\", \"dst\", \"src\" or \"reqid\""},
      {{"sa", "spi"}, "\"spi\" needs a value: SPI"},
      {{"sa", "spy", "1"}, "sa: unknown keyword \"spy\"; did you mean \"spi\"?"},
      {{"sa", "lsit"}, "did you mean \"list\"?"},
      {{"sa", "--show-kesy"}, "unknown option \"--show-kesy\"; did you mean \"--show-keys\"?"},
      {{"sa", "-j=1"}, "--json: takes no value"},
      {{"sa", "spi", "x"}, "spi: \"x\" is not a number from 0 to 4294967295"},
      {{"sa", "spi", "4294967296"}, "spi: \"4294967296\" is not a number"},
      {{"sa", "spi", "0x"}, "spi: \"0x\" is not a number"},
      {{"sa", "spi", "-1"}, "spi: \"-1\" is not a number"},
      {{"sa", "spi", "1", "spi", "2"}, "\"spi\" is given twice"},
      {{"sa", "dst", "host"}, "dst: \"host\" is not an IP address"},
      {{"policy", "list", "all"}, "policy: unknown keyword \"all\"; try \"cygnet help policy\""},
      {{"dev", "-x"}, "dev: unknown option \"-x\""},
      {{"dev", "nic0", "nic1"}, "\"dev\" is given twice"},
      {{"dev", "show", "dev"}, "\"dev\" needs a value"},
      {{"stat", "-b"}, "stat: unknown option \"-b\""},
      {{"stat", "sa", "--show-keys"}, "stat sa: unknown option \"--show-keys\""},
      {{"engine", "openssl"}, "engine: unknown keyword \"openssl\""},
      {{"mtu"}, "mtu: a command is missing: \"explain\""},
      {{"mtu", "10.2.0.1"}, "mtu: unknown command \"10.2.0.1\"; must be \"explain\""},
      {{"mtu", "explain"}, "mtu explain: \"ADDRESS\" is missing"},
      {{"mtu", "explain", "host"}, "ADDRESS: \"host\" is not an IP address"},
      {{"mtu", "explain", "10.2.0.1", "proto", "256"}, "proto: \"256\" is not a number from 0 to"},
      {{"mtu", "explain", "10.2.0.1", "dport", "65536"}, "dport: \"65536\" is not a number"},
      {{"mtu", "explain", "10.2.0.1", "port", "1"},
       "unknown keyword \"port\"; did you mean \"dport\"?"},
      {{"fips", "mode"}, "fips mode: \"auto|on|off\" is missing"},
      {{"fips", "mode", "yes"}, "must be \"auto\", \"on\" or \"off\", not \"yes\""},
      {{"fips", "mode", "on", "off"}, "fips mode: unknown keyword \"off\""},
      {{"fips", "on"}, "fips: unknown keyword \"on\""},
      {{"doctor", "fips"}, "doctor: unknown keyword \"fips\""},
      {{"reload", "now"}, "reload: unknown keyword \"now\""},
      {{"doctor", "--fips", "all"}, "doctor: unknown keyword \"all\""},
      {{"capture"}, "capture: \"dev NAME\" is missing"},
      {{"capture", "dev", "nic0", "--with-keys"}, "--with-keys needs \"write FILE\""},
      {{"extcap", "--extcap-dlts"}, "--extcap-interface is missing"},
      {{"extcap", "--extcap-interface", "eth0", "--extcap-dlts"},
       "\"eth0\" is not one of Cygnet's interfaces"},
      {{"extcap", "--capture", "--extcap-interface", "cygnet-nic0"}, "--capture needs --fifo"},
      {{"extcap", "--extcap-interfaces", "--colour", "1"}, "extcap: unknown option \"--colour\""},
      {{"capture", "side", "both"}, "side: must be \"host\", \"wire\" or \"guard\", not \"both\""},
      {{"capture", "count", "0"}, "count: \"0\" is not a number from 1 to"},
      {{"capture", "snaplen", "262145"}, "snaplen: \"262145\" is not a number from 1 to 262144"},
      {{"-j", "capture", "dev", "nic0"}, "capture: has no use for --json; it is for sa, policy"},
      {{"metrics", "-j"}, "metrics: has no use for --json"},
      {{"stored", "-br"}, "stored: has no use for --brief; it is for sa, policy, dev, stat"},
      {{"stat", "-s"}, "stat: has no use for --statistics; it is for sa, dev"},
      {{"stored", "-c"}, "stored: has no use for --color"},
      {{"policy", "--sum", "peer"}, "policy: has no use for --sum; it is for sa"},
      {{"reload", "--watch"}, "reload: has no use for --watch"},
      {{"exec", "-j", "--", "x"}, "exec: has no use for --json"},
      {{"sa", "--sum"}, "\"--sum\" needs a value: peer|device|reason"},
      {{"sa", "--sum", "spi"}, "--sum: must be \"peer\", \"device\" or \"reason\", not \"spi\""},
      {{"sa", "--watch", "0"}, "--watch: \"0\" is not a number of seconds from 0.1 to"},
      {{"sa", "--watch=x"}, "--watch: \"x\" is not a number of seconds"},
      {{"sa", "-p"}, "--pretty is for JSON"},
      {{"sa", "-p", "-j", "--watch"}, "each JSON document is one line"},
      {{"sa", "-br", "-j"}, "--brief is for text"},
      {{"sa", "-br", "--show-keys"}, "--show-keys: brief lists and sums have no keys"},
      {{"sa", "-c", "-j"}, "JSON has no colours"},
      {{"sa", "-br", "--sum", "peer"}, "--sum is brief already"},
      {{"sa", "--color=blue"}, "--color: must be \"always\""},
      {{"metrics", "all"}, "metrics: unknown keyword \"all\""},
      {{"ledger", "reqid", "7"}, "ledger: unknown keyword \"reqid\""},
      {{"offload", "nic0"}, "offload: unknown keyword \"nic0\"; must be \"list\", \"explain\""},
      {{"offload", "dsiable"}, "did you mean \"disable\"?"},
      {{"offload", "set", "spi", "1", "mode", "no"}, "offload: unknown keyword \"set\""},
      {{"placement"}, "placement: a command is missing: \"set\" or \"unset\""},
      {{"placement", "enable", "dev", "nic0"}, "placement: unknown command \"enable\""},
      {{"offload", "disable"}, "offload disable: \"dev NAME\" is missing"},
      {{"offload", "disable", "nic0", "nic1"}, "\"dev\" is given twice"},
      {{"placement", "set", "mode", "no"}, "placement set: select SAs with"},
      {{"placement", "set", "spi", "1"}, "\"mode no|crypto|packet|auto|required\" is missing"},
      {{"placement", "set", "mode", "fast"}, "mode: must be \"no\", \"crypto\","},
      {{"placement", "unset", "spi", "1", "pin"}, "placement unset: unknown keyword \"pin\""},
      {{"offload", "explain", "aead", "x"}, "\"dev NAME\" is missing"},
      {{"offload", "explain", "dev", "nic0"}, "give either \"aead NAME\""},
      {{"offload", "explain", "dev", "d", "aead", "x", "auth", "y"}, "give either \"aead NAME\""},
      {{"offload", "explain", "dir", "fwd"}, "dir: must be \"in\" or \"out\", not \"fwd\""},
      {{"offload", "explain", "aead"}, "\"aead\" needs a value"},
      {{"sim"}, "sim: \"dev NAME\" is missing"},
      {{"sim", "dev", "nic0"}, "sim: \"FAULT\" is missing"},
      {{"exec"}, "exec: no command given"},
      {{"exec", "--"}, "exec: no command given"},
  };
  for (const auto& row : kCases) {
    const auto arguments = ParseArguments(row.words);
    ASSERT_FALSE(arguments) << row.message;
    EXPECT_THAT(arguments.error().message, HasSubstr(row.message));
  }
}

}  // namespace
}  // namespace cygnet
