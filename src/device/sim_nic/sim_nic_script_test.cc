// The syntax of faults and of fault scripts.
#include "device/sim_nic/sim_nic_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cygnet {
namespace {

using Kind = Fault::Kind;
using testing::ElementsAre;
using testing::HasSubstr;

// --- One fault ---

TEST(FaultTest, EveryFormIsRead) {
  const std::pair<const char*, Fault> kCases[] = {
      {"link-down", {Kind::kLinkDown}},
      {"link-up", {Kind::kLinkUp}},
      {"down", {Kind::kDown}},
      {"up", {Kind::kUp}},
      {"reset", {Kind::kReset, 200}},
      {"reset 0", {Kind::kReset, 0}},
      {"remove", {Kind::kRemove}},
      {"insert", {Kind::kInsert}},
      {"crash", {Kind::kCrash}},
      {"table-full", {Kind::kTableFull, Fault::kForever}},
      {"table-full 5", {Kind::kTableFull, 5}},
      {"table-ok", {Kind::kTableOk}},
      {"add-fail ENOSPC", {Kind::kAddFail, 1, Errc::kNoSpace}},
      {"add-fail EIO 3", {Kind::kAddFail, 3, Errc::kIo}},
      {"skip-seal 2", {Kind::kSkipSeal, 2}},
      {"  skip-icv\t", {Kind::kSkipIcv, 1}},
      {"fail-seal 10", {Kind::kFailSeal, 10}},
      {"policy-miss", {Kind::kPolicyMiss, 1}},
      {"failover", {Kind::kFailOver}},
      {"reorder", {Kind::kReorder, 16}},
      {"reorder in", {.kind = Kind::kReorder, .count = 16, .way = FaultWay::kIn}},
      {"swallow out 3", {.kind = Kind::kSwallow, .count = 3, .way = FaultWay::kOut}},
      {"wrong-icv 2", {Kind::kWrongIcv, 2}},
      {"wrong-inner in", {.kind = Kind::kWrongInner, .way = FaultWay::kIn}},
      {"stale-counters", {Kind::kStaleCounters, Fault::kForever}},
      {"stale-counters 250", {Kind::kStaleCounters, 250}},
      {"slow-add 50", {.kind = Kind::kSlowAdd, .ms = 50}},
      {"slow-add 50 9", {.kind = Kind::kSlowAdd, .count = 9, .ms = 50}},
      {"let-replay 4", {Kind::kLetReplay, 4}},
      {"no-expiry", {Kind::kNoExpiry, 1}},
      {"lie esn", {.kind = Kind::kLie, .word = "esn"}},
      {"lie icv-64", {.kind = Kind::kLie, .word = "icv-64"}},
      {"lie rfc4106(gcm(aes))", {.kind = Kind::kLie, .word = "rfc4106(gcm(aes))"}},
      {"lie none", {.kind = Kind::kLie, .word = "none"}},
      {"clear", {Kind::kClear}},
  };
  for (const auto& [text, expected] : kCases) {
    const auto fault = ParseFault(text);
    ASSERT_TRUE(fault) << fault.error().message;
    EXPECT_EQ(*fault, expected) << text;
  }
}

TEST(FaultTest, WhatIsWrongIsToldWithTheFaultsThereAre) {
  for (const char* text : {"",
                           " ",
                           "explode",
                           "reset soon",
                           "reset -1",
                           "reset 1000000001",
                           "link-down 1",
                           "add-fail",
                           "add-fail 5",
                           "add-fail EPERM",
                           "add-fail EIO 3 4",
                           "skip-seal 1x",
                           "reorder up",
                           "swallow in out",
                           "swallow 3 in",
                           "slow-add",
                           "slow-add 60001",
                           "slow-add 1 2 3",
                           "lie",
                           "lie colour",
                           "lie icv-",
                           "lie icv-12",
                           "lie icv-520",
                           "lie key-0",
                           "lie key-129",
                           "lie key-160",
                           "lie esn 3"}) {
    const auto fault = ParseFault(text);
    ASSERT_FALSE(fault) << text;
    EXPECT_EQ(fault.error().code, Errc::kInvalid);
    EXPECT_THAT(fault.error().message, HasSubstr("add-fail ERRNO [N]")) << text;
  }
}

TEST(FaultTest, ALieNamesTheLengthsAndAlgorithmsThereAre) {
  const std::string message = ParseFault("lie key-129").error().message;
  EXPECT_THAT(message, HasSubstr("packet-offload, key-128, key-192, key-256, icv-BITS"));
  EXPECT_THAT(message, HasSubstr(" rfc4106(gcm(aes)) "));
  EXPECT_LT(message.size(), 1024u) << "an operator reads all of it";
}

TEST(PendingFaultsTest, EachIsForAsManyAsItSays) {
  PendingFaults faults;
  EXPECT_FALSE(faults.NextAdd().has_value());
  faults.Arm(*ParseFault("add-fail EINVAL 2"));
  EXPECT_EQ(faults.NextAdd()->code, Errc::kInvalid);
  EXPECT_EQ(faults.NextAdd()->kind, InstallError::kRefused);
  EXPECT_FALSE(faults.NextAdd().has_value());
  faults.Arm(*ParseFault("table-full"));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(faults.NextAdd()->kind, InstallError::kTableFull);
  faults.Arm(*ParseFault("table-ok"));
  EXPECT_FALSE(faults.NextAdd().has_value());
  faults.Arm(*ParseFault("skip-seal"));
  EXPECT_EQ(faults.NextSeal(), SealFault::kSkipSeal);
  EXPECT_EQ(faults.NextSeal(), SealFault::kNone);
  faults.Arm(*ParseFault("fail-seal 9"));
  faults.Arm(*ParseFault("clear"));
  EXPECT_EQ(faults.NextSeal(), SealFault::kNone);
}

TEST(PendingFaultsTest, DirectionsAreCountedApart) {
  PendingFaults faults;
  faults.Arm(*ParseFault("swallow in 2"));
  faults.Arm(*ParseFault("swallow out"));
  EXPECT_TRUE(faults.NextSwallows(FaultWay::kOut));
  EXPECT_FALSE(faults.NextSwallows(FaultWay::kOut));
  for (const bool due : {true, true, false}) EXPECT_EQ(faults.NextSwallows(FaultWay::kIn), due);
  faults.Arm(*ParseFault("wrong-inner"));
  EXPECT_TRUE(faults.NextHasWrongInner(FaultWay::kOut));
  EXPECT_TRUE(faults.NextHasWrongInner(FaultWay::kIn));
}

TEST(PendingFaultsTest, OnlyLiesAreLeftForPacketsOfNobody) {
  PendingFaults faults;
  faults.Arm(*ParseFault("wrong-icv 5"));
  faults.Arm(*ParseFault("lie tunnel"));
  CardRequest tunnel;
  tunnel.sa_mode = SaMode::kTunnel;
  PendingFaults lying = faults.OnlyLies();
  EXPECT_FALSE(lying.NextHasWrongIcv(FaultWay::kOut));
  EXPECT_TRUE(lying.LiesAbout(tunnel).text);
  EXPECT_TRUE(faults.NextHasWrongIcv(FaultWay::kOut)) << "still due";
  faults.Arm(*ParseFault("clear"));
  EXPECT_FALSE(faults.LiesAbout(tunnel).text);
}

// --- Scripts ---

struct Event {
  uint64_t ms;
  std::string text;
  bool operator==(const Event&) const = default;
};
void PrintTo(const Event& event, std::ostream* out) { *out << event.ms << " " << event.text; }

std::vector<Event> Play(FaultScript script, uint64_t step, uint64_t end) {
  std::vector<Event> events;
  for (uint64_t ms = 0; ms <= end; ms += step) {
    for (const auto& due : script.Take(ms, 0)) events.push_back({due.at_ms, due.text});
  }
  return events;
}

FaultScript Parsed(std::string_view text, uint64_t seed = 1) {
  auto script = FaultScript::Parse(text, "f.toml", seed);
  EXPECT_TRUE(script) << script.error().message;
  return *std::move(script);
}

TEST(FaultScriptTest, AtIsOnceAndInTheOrderOfTime) {
  const char* text = R"(
# comment
[[fault]]
at = "2s"
do = "up"
[[fault]]
at = "500ms"
do = "reset 100"
[[fault]]
at = "500ms"
do = "add-fail EIO 3"
)";
  EXPECT_THAT(
      Play(Parsed(text), 100, 3000),
      ElementsAre(Event{500, "reset 100"}, Event{500, "add-fail EIO 3"}, Event{2000, "up"}));
  EXPECT_EQ(Parsed(text).NextMs(), 500u);
  EXPECT_EQ(Parsed("").NextMs(), FaultScript::kNever);
}

TEST(FaultScriptTest, AfterCountsPackets) {
  FaultScript script = Parsed("[[fault]]\nafter_packets = 1000\ndo = \"skip-seal 1\"\n");
  EXPECT_EQ(script.NextPackets(), 1000u);
  EXPECT_TRUE(script.Take(99'999, 999).empty());
  const auto due = script.Take(5, 1000);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].line, 1u);
  EXPECT_EQ(due[0].fault.kind, Kind::kSkipSeal);
  EXPECT_TRUE(script.Take(6, 5000).empty());
  EXPECT_EQ(script.NextPackets(), FaultScript::kNever);
}

TEST(FaultScriptTest, EveryPausesWithinItsBoundsUntilTheEnd) {
  const auto events = Play(Parsed("until = \"30s\"\n[[fault]]\nevery = [\"200ms\", \"900ms\"]\n"
                                  "do = \"reset 50\"\n"),
                           10, 60'000);
  ASSERT_GT(events.size(), 30u);
  uint64_t last = 0;
  for (const Event& event : events) {
    EXPECT_GE(event.ms - last, 200u);
    EXPECT_LE(event.ms - last, 900u);
    last = event.ms;
  }
  EXPECT_LE(last, 30'000u);
}

TEST(FaultScriptTest, SameSeedSameFaultsHoweverOftenItIsAsked) {
  const char* text = R"(
[[fault]]
every = ["200ms", "900ms"]
do = ["reset 50", "add-fail EOPNOTSUPP 3", "table-full 5", "fail-seal 10"]
[[fault]]
every = "1s"
do = "down"
)";
  const auto often = Play(Parsed(text, 7), 1, 20'000);
  EXPECT_EQ(often, Play(Parsed(text, 7), 2'000, 20'000));
  EXPECT_NE(often, Play(Parsed(text, 8), 1, 20'000));
  for (const char* choice : {"reset 50", "add-fail EOPNOTSUPP 3", "table-full 5", "fail-seal 10"}) {
    EXPECT_TRUE(std::any_of(often.begin(), often.end(), [&](const Event& e) {
      return e.text == choice;
    })) << choice;
  }
}

TEST(FaultScriptTest, WhatIsLateComesInPortions) {
  FaultScript script = Parsed("[[fault]]\nevery = \"1ms\"\ndo = \"reset 0\"\n");
  EXPECT_EQ(script.Take(86'400'000, 0).size(), 64u);
  EXPECT_EQ(script.NextMs(), 65u);
}

std::string Table(const std::string& lines) { return "[[fault]]\n" + lines; }

TEST(FaultScriptTest, ErrorsNameFileLineAndKey) {
  const std::string reset = "\ndo = \"reset\"\n";
  const std::pair<std::string, const char*> kCases[] = {
      {Table("at = \"1s\"" + reset) + Table("at = \"noon\"" + reset),
       "f.toml:5: fault.at: must be a time such as"},
      {Table("at = \"86401s\"" + reset), "f.toml:2: fault.at: must be a time"},
      {Table("at = \"18446744073709551616ms\"" + reset), "f.toml:2: fault.at: must be a time"},
      {Table("at = 500" + reset), "f.toml:2: fault.at: must be a time"},
      {Table("at = \"1s\"\n"), "f.toml:1: fault.do: missing"},
      {Table("at = \"1s\"\ndo = \"\"\n"),
       "f.toml:3: fault.do: fault \"\": empty; faults are link-down"},
      {Table("at = \"1s\"\ndo = \"explode\"\n"),
       "f.toml:3: fault.do: fault \"explode\": unknown fault"},
      {Table("at = \"1s\"\ndo = []\n"), "f.toml:3: fault.do: must name a fault"},
      {Table("at = \"1s\"\ndo = [\"up\", 1]\n"), "f.toml:3: fault.do: must be a string or"},
      {Table("after_packets = -1" + reset), "f.toml:2: fault.after_packets: must be between 0 and"},
      {Table("after_packets = \"5\"" + reset), "f.toml:2: fault.after_packets: must be an integer"},
      {Table("every = \"0ms\"" + reset), "f.toml:2: fault.every: must be a pause"},
      {Table("every = [\"9ms\", \"8ms\"]" + reset), "f.toml:2: fault.every: must be a pause"},
      {Table("every = [\"9ms\"]" + reset), "f.toml:2: fault.every: must be a pause"},
      {Table("do = \"reset\"\n"), "f.toml:2: fault.do: needs one of the keys at, after_packets"},
      {Table("at = \"1s\"\nevery = \"1s\"" + reset), "fault.do: needs one of the keys"},
      {Table("untill = \"1s\"" + reset), "f.toml:2: fault.untill: unknown key"},
      {"\n\nuntil = \"soon\"\n", "f.toml:3: until: must be a time"},
      {"unitl = \"1s\"\n", "f.toml:1: unitl: unknown key; did you mean \"until\"?"},
      {"[fault]\n", "f.toml:1: fault: must be an array of tables: [[fault]], is a table"},
      {"at 500ms reset\n", "f.toml:1: "},
  };
  for (const auto& [text, message] : kCases) {
    const auto script = FaultScript::Parse(text, "f.toml", 1);
    ASSERT_FALSE(script) << text;
    EXPECT_THAT(script.error().message, HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace cygnet
