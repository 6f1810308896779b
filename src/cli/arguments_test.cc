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
  };
  for (const auto& row : kCases) {
    const auto arguments = ParseArguments(row.words);
    ASSERT_TRUE(arguments) << row.request << ": " << arguments.error().message;
    EXPECT_EQ(arguments->request.dump(), row.request);
  }
}

TEST(ArgumentsTest, ReadsOptions) {
  EXPECT_FALSE(ParseArguments(Words{"sa"})->json);
  EXPECT_TRUE(ParseArguments(Words{"-j", "sa"})->json);
  EXPECT_TRUE(ParseArguments(Words{"--json", "stat"})->json);
  EXPECT_FALSE(ParseArguments(Words{"stat"})->all);
  EXPECT_TRUE(ParseArguments(Words{"stat", "--all"})->all);
  EXPECT_EQ(ParseArguments(Words{"-h"})->object, Object::kHelp);
  EXPECT_EQ(ParseArguments(Words{"help"})->object, Object::kHelp);
  EXPECT_EQ(ParseArguments(Words{"sa", "help"})->object, Object::kHelp);
  EXPECT_EQ(ParseArguments(Words{"-V"})->object, Object::kVersion);
  EXPECT_EQ(ParseArguments(Words{"version"})->object, Object::kVersion);
}

TEST(ArgumentsTest, ReadsCaptureOptions) {
  const auto plain = ParseArguments(Words{"capture", "dev", "nic0", "side", "host"});
  EXPECT_EQ(plain->write_file, "-");
  EXPECT_EQ(plain->count, std::nullopt);
  const auto full = ParseArguments(
      Words{"capture", "dev", "nic0", "side", "host", "write", "/tmp/f", "count", "3"});
  EXPECT_EQ(full->write_file, "/tmp/f");
  EXPECT_EQ(full->count, 3u);
  const auto extcap = ParseArguments(
      Words{"extcap", "--capture", "--fifo", "/tmp/f", "--extcap-interface", "cygnet-nic0"});
  EXPECT_EQ(extcap->write_file, "/tmp/f");
  EXPECT_EQ(extcap->extcap, ExtcapAction::kCapture);
}

TEST(ArgumentsTest, HelpMayBeOfOneObject) {
  EXPECT_EQ(ParseArguments(Words{"offload", "help"})->help_for, "offload");
  EXPECT_THAT(HelpText("offload"), HasSubstr("offload explain"));
  EXPECT_THAT(HelpText("offload"), Not(HasSubstr("mtu explain")));
  EXPECT_EQ(ParseArguments(Words{"help"})->help_for, "");
  EXPECT_THAT(HelpText(), HasSubstr("mtu explain"));
}

TEST(ArgumentsTest, FindsTheCommandOfExec) {
  EXPECT_EQ(ParseArguments(Words{"exec", "--", "ip", "--", "-s"})->command_at, 2u);
  EXPECT_EQ(ParseArguments(Words{"exec", "ip"})->command_at, 1u);
  EXPECT_EQ(ParseArguments(Words{"exec", "help"})->object, Object::kExec);
}

TEST(ArgumentsTest, SaysWhatIsWrong) {
  const struct {
    Words words;
    const char* message;
  } kCases[] = {
      {{}, "no object given"},
      {{""}, "no object given"},
      {{"-x"}, "unknown option \"-x\""},
      {{"sas"}, "unknown object \"sas\""},
      {{"state"}, "unknown object \"state\""},
      {{"sa", "delete"}, "sa: unknown command or keyword \"delete\""},
      {{"sa", "spi"}, "\"spi\" needs a value"},
      {{"sa", "spi", "x"}, "spi: \"x\" is not a number from 0 to 4294967295"},
      {{"sa", "spi", "4294967296"}, "spi: \"4294967296\" is not a number"},
      {{"sa", "spi", "0x"}, "spi: \"0x\" is not a number"},
      {{"sa", "spi", "-1"}, "spi: \"-1\" is not a number"},
      {{"sa", "spi", "1", "spi", "2"}, "\"spi\" is given twice"},
      {{"sa", "dst", "host"}, "dst: \"host\" is not an IP address"},
      {{"policy", "list", "all"}, "policy: unknown command or keyword \"all\""},
      {{"dev", "-x"}, "dev: unknown command or keyword \"-x\""},
      {{"dev", "nic0", "nic1"}, "\"name\" is given twice"},
      {{"dev", "show", "dev"}, "\"dev\" needs a value"},
      {{"stat", "-b"}, "stat: unknown command or keyword \"-b\""},
      {{"stat", "sa", "--show-keys"}, "unknown command or keyword \"--show-keys\""},
      {{"engine", "openssl"}, "engine: unknown command or keyword \"openssl\""},
      {{"mtu"}, "usage: cygnet mtu explain ADDRESS"},
      {{"mtu", "10.2.0.1"}, "usage: cygnet mtu explain ADDRESS"},
      {{"mtu", "explain"}, "ADDRESS is missing"},
      {{"mtu", "explain", "host"}, "mtu explain: \"host\" is not an IP address"},
      {{"mtu", "explain", "10.2.0.1", "proto", "256"}, "proto: \"256\" is not a number from 0 to"},
      {{"mtu", "explain", "10.2.0.1", "dport", "65536"}, "dport: \"65536\" is not a number"},
      {{"mtu", "explain", "10.2.0.1", "sport", "1"}, "unknown command or keyword \"sport\""},
      {{"fips", "mode"}, "\"fips mode\" needs a value"},
      {{"fips", "mode", "yes"}, "must be \"auto\", \"on\" or \"off\", not \"yes\""},
      {{"fips", "mode", "on", "off"}, "fips: unknown command or keyword \"off\""},
      {{"fips", "on"}, "fips: unknown command or keyword \"on\""},
      {{"doctor", "fips"}, "doctor: unknown command or keyword \"fips\""},
      {{"reload", "now"}, "reload: unknown command or keyword \"now\""},
      {{"doctor", "--fips", "all"}, "doctor: unknown command or keyword \"all\""},
      {{"capture"}, "capture: \"dev NAME\" is missing"},
      {{"capture", "dev", "nic0", "--with-keys"}, "--with-keys needs \"write FILE\""},
      {{"extcap", "--extcap-dlts"}, "--extcap-interface is missing"},
      {{"extcap", "--extcap-interface", "eth0", "--extcap-dlts"},
       "\"eth0\" is not one of Cygnet's interfaces"},
      {{"extcap", "--capture", "--extcap-interface", "cygnet-nic0"}, "--capture needs --fifo"},
      {{"extcap", "--extcap-interfaces", "--colour", "1"},
       "extcap: unknown command or keyword \"--colour\""},
      {{"capture", "side", "both"}, "side: must be \"host\", \"wire\" or \"guard\", not \"both\""},
      {{"capture", "count", "0"}, "count: \"0\" is not a number from 1 to"},
      {{"capture", "snaplen", "262145"}, "snaplen: \"262145\" is not a number from 1 to 262144"},
      {{"-j", "capture", "dev", "nic0", "side", "host"}, "no JSON form"},
      {{"-j", "metrics"}, "no JSON form"},
      {{"metrics", "all"}, "metrics: unknown command or keyword \"all\""},
      {{"ledger", "reqid", "7"}, "ledger: unknown command or keyword \"reqid\""},
      {{"offload"}, "usage: cygnet offload"},
      {{"offload", "nic0"}, "usage: cygnet offload"},
      {{"offload", "set", "spi", "1", "mode", "no"},
       "usage: cygnet offload explain|enable|disable"},
      {{"placement"}, "usage: cygnet placement set|unset"},
      {{"placement", "enable", "dev", "nic0"}, "usage: cygnet placement set|unset"},
      {{"offload", "disable"}, "offload disable: \"dev NAME\" is missing"},
      {{"offload", "disable", "nic0"}, "offload disable: unknown command or keyword \"nic0\""},
      {{"placement", "set", "mode", "no"}, "placement set: select SAs with"},
      {{"placement", "set", "spi", "1"}, "\"mode no|crypto|packet|auto|required\" is missing"},
      {{"placement", "set", "mode", "fast"}, "mode: must be one of \"no\", \"crypto\","},
      {{"placement", "unset", "spi", "1", "pin"},
       "placement unset: unknown command or keyword \"pin\""},
      {{"offload", "explain", "aead", "x"}, "\"dev NAME\" is missing"},
      {{"offload", "explain", "dev", "nic0"}, "give either \"aead NAME\""},
      {{"offload", "explain", "dev", "d", "aead", "x", "auth", "y"}, "give either \"aead NAME\""},
      {{"offload", "explain", "dir", "fwd"}, "dir: must be one of \"in\", \"out\", not \"fwd\""},
      {{"offload", "explain", "aead"}, "\"aead\" needs a value"},
      {{"sim", "nic0"}, "usage: cygnet sim dev NAME FAULT"},
      {{"sim", "dev", "nic0"}, "the fault is missing"},
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
