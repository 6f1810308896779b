// The command line: what it asks the daemon, and what it refuses.
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
      {{}, "no object"},
      {{""}, "no object"},
      {{"-x"}, "\"-x\" is no option"},
      {{"sas"}, "\"sas\" is no object"},
      {{"state"}, "\"state\" is no object"},
      {{"sa", "delete"}, "sa: \"delete\" is no command or keyword"},
      {{"sa", "spi"}, "\"spi\" needs a value"},
      {{"sa", "spi", "x"}, "spi: \"x\" is no number between 0 and 4294967295"},
      {{"sa", "spi", "4294967296"}, "spi: \"4294967296\" is no number"},
      {{"sa", "spi", "0x"}, "spi: \"0x\" is no number"},
      {{"sa", "spi", "-1"}, "spi: \"-1\" is no number"},
      {{"sa", "spi", "1", "spi", "2"}, "\"spi\" is given twice"},
      {{"sa", "dst", "host"}, "dst: \"host\" is no IP address"},
      {{"policy", "list", "all"}, "policy: \"all\" is no command or keyword"},
      {{"dev", "-x"}, "dev: \"-x\" is no command or keyword"},
      {{"dev", "nic0", "nic1"}, "\"name\" is given twice"},
      {{"dev", "show", "dev"}, "\"dev\" needs a value"},
      {{"stat", "-b"}, "stat: \"-b\" is no command or keyword"},
      {{"stat", "sa", "--show-keys"}, "\"--show-keys\" is no command or keyword"},
      {{"engine", "openssl"}, "engine: \"openssl\" is no command or keyword"},
      {{"mtu"}, "usage: cygnet mtu explain ADDRESS"},
      {{"mtu", "10.2.0.1"}, "usage: cygnet mtu explain ADDRESS"},
      {{"mtu", "explain"}, "the destination's address is missing"},
      {{"mtu", "explain", "host"}, "mtu explain: \"host\" is no IP address"},
      {{"mtu", "explain", "10.2.0.1", "proto", "256"}, "proto: \"256\" is no number between 0 and"},
      {{"mtu", "explain", "10.2.0.1", "dport", "65536"}, "dport: \"65536\" is no number"},
      {{"mtu", "explain", "10.2.0.1", "sport", "1"}, "\"sport\" is no command or keyword"},
      {{"fips", "mode"}, "\"fips mode\" needs a value"},
      {{"fips", "mode", "yes"}, "must be \"auto\", \"on\" or \"off\", is \"yes\""},
      {{"fips", "mode", "on", "off"}, "fips: \"off\" is no command or keyword"},
      {{"fips", "on"}, "fips: \"on\" is no command or keyword"},
      {{"doctor", "fips"}, "doctor: \"fips\" is no command or keyword"},
      {{"reload", "now"}, "reload: \"now\" is no command or keyword"},
      {{"doctor", "--fips", "all"}, "doctor: \"all\" is no command or keyword"},
      {{"capture"}, "capture: \"dev NAME\" is missing"},
      {{"capture", "dev", "nic0"}, "\"side host\", \"side wire\" or \"side guard\" is missing"},
      {{"capture", "side", "both"}, "side: must be \"host\", \"wire\" or \"guard\", is \"both\""},
      {{"capture", "count", "0"}, "count: \"0\" is no number between 1 and"},
      {{"capture", "snaplen", "262145"}, "snaplen: \"262145\" is no number between 1 and 262144"},
      {{"-j", "capture", "dev", "nic0", "side", "host"}, "no JSON form"},
      {{"-j", "metrics"}, "no JSON form"},
      {{"metrics", "all"}, "metrics: \"all\" is no command or keyword"},
      {{"ledger", "reqid", "7"}, "ledger: \"reqid\" is no command or keyword"},
      {{"offload"}, "usage: cygnet offload"},
      {{"offload", "nic0"}, "usage: cygnet offload"},
      {{"offload", "set", "spi", "1", "mode", "no"},
       "usage: cygnet offload explain|enable|disable"},
      {{"placement"}, "usage: cygnet placement set|unset"},
      {{"placement", "enable", "dev", "nic0"}, "usage: cygnet placement set|unset"},
      {{"offload", "disable"}, "offload disable: \"dev NAME\" is missing"},
      {{"offload", "disable", "nic0"}, "offload disable: \"nic0\" is no command or keyword"},
      {{"placement", "set", "mode", "no"}, "placement set: which SAs?"},
      {{"placement", "set", "spi", "1"}, "\"mode no|crypto|packet|auto|required\" is missing"},
      {{"placement", "set", "mode", "fast"}, "mode: must be one of \"no\", \"crypto\","},
      {{"placement", "unset", "spi", "1", "pin"}, "placement unset: \"pin\" is no command"},
      {{"offload", "explain", "aead", "x"}, "\"dev NAME\" is missing"},
      {{"offload", "explain", "dev", "nic0"}, "say either \"aead NAME\""},
      {{"offload", "explain", "dev", "d", "aead", "x", "auth", "y"}, "say either \"aead NAME\""},
      {{"offload", "explain", "dir", "fwd"}, "dir: must be one of \"in\", \"out\", is \"fwd\""},
      {{"offload", "explain", "aead"}, "\"aead\" needs a value"},
      {{"sim", "nic0"}, "usage: cygnet sim dev NAME FAULT"},
      {{"sim", "dev", "nic0"}, "which fault?"},
      {{"exec"}, "exec: no command"},
      {{"exec", "--"}, "exec: no command"},
  };
  for (const auto& row : kCases) {
    const auto arguments = ParseArguments(row.words);
    ASSERT_FALSE(arguments) << row.message;
    EXPECT_THAT(arguments.error().message, HasSubstr(row.message));
  }
}

}  // namespace
}  // namespace cygnet
