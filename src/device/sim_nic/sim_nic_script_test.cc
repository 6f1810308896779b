// Faults and scripts of them, as they are written.
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
      {"clear", {Kind::kClear}},
  };
  for (const auto& [text, expected] : kCases) {
    const auto fault = ParseFault(text);
    ASSERT_TRUE(fault) << fault.error().message;
    EXPECT_EQ(*fault, expected) << text;
  }
}

TEST(FaultTest, WhatIsWrongIsToldWithTheFaultsThereAre) {
  for (const char* text :
       {"", " ", "explode", "reset soon", "reset -1", "reset 1000000001", "link-down 1", "add-fail",
        "add-fail 5", "add-fail EPERM", "add-fail EIO 3 4", "skip-seal 1x"}) {
    const auto fault = ParseFault(text);
    ASSERT_FALSE(fault) << text;
    EXPECT_EQ(fault.error().code, Errc::kInvalid);
    EXPECT_THAT(fault.error().message, HasSubstr("add-fail ERRNO [N]")) << text;
  }
}

TEST(PendingFaultsTest, EachIsForAsManyAsItSays) {
  PendingFaults faults;
  EXPECT_FALSE(faults.NextAdd().has_value());
  faults.Arm(*ParseFault("add-fail EINVAL 2"));
  EXPECT_EQ(faults.NextAdd()->code, Errc::kInvalid);
  EXPECT_EQ(faults.NextAdd()->kind, AddSaError::kRefused);
  EXPECT_FALSE(faults.NextAdd().has_value());
  faults.Arm(*ParseFault("table-full"));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(faults.NextAdd()->kind, AddSaError::kTableFull);
  faults.Arm(*ParseFault("table-ok"));
  EXPECT_FALSE(faults.NextAdd().has_value());
  faults.Arm(*ParseFault("skip-seal"));
  EXPECT_EQ(faults.NextSeal(), SealFault::kSkipSeal);
  EXPECT_EQ(faults.NextSeal(), SealFault::kNone);
  faults.Arm(*ParseFault("fail-seal 9"));
  faults.Arm(*ParseFault("clear"));
  EXPECT_EQ(faults.NextSeal(), SealFault::kNone);
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
  auto script = FaultScript::Parse(text, seed);
  EXPECT_TRUE(script) << script.error().message;
  return *std::move(script);
}

TEST(FaultScriptTest, AtIsOnceAndInTheOrderOfTime) {
  const char* text =
      "# comment\n\nat 2s up  # and more\r\nat 500ms reset 100\nat 500ms add-fail EIO 3\n";
  EXPECT_THAT(
      Play(Parsed(text), 100, 3000),
      ElementsAre(Event{500, "reset 100"}, Event{500, "add-fail EIO 3"}, Event{2000, "up"}));
  EXPECT_EQ(Parsed(text).NextMs(), 500u);
  EXPECT_EQ(Parsed("").NextMs(), FaultScript::kNever);
}

TEST(FaultScriptTest, AfterCountsPackets) {
  FaultScript script = Parsed("after 1000 packets skip-seal 1");
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
  const auto events = Play(Parsed("every 200ms..900ms reset 50\nuntil 30s"), 10, 60'000);
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
  const char* text =
      "every 200ms..900ms one of: reset 50 | add-fail EOPNOTSUPP 3 | table-full 5 | fail-seal 10\n"
      "every 1s down\n";
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
  FaultScript script = Parsed("every 1ms reset 0");
  EXPECT_EQ(script.Take(86'400'000, 0).size(), 64u);
  EXPECT_EQ(script.NextMs(), 65u);
}

TEST(FaultScriptTest, ErrorsNameTheLine) {
  const std::pair<const char*, const char*> kCases[] = {
      {"at 1s up\nat noon up\n", "line 2: at needs a time"},
      {"at 86401s up", "line 1: at needs a time"},
      {"at 18446744073709551616ms up", "line 1: at needs a time"},
      {"at 1s", "line 1: fault \"\": empty; faults are link-down"},
      {"at 1s explode", "line 1: fault \"explode\": no such fault"},
      {"after 5 reset", "line 1: after needs a number of packets"},
      {"after 5x packets reset", "line 1: after needs a number of packets"},
      {"every 0ms reset", "line 1: every needs a pause"},
      {"every 9ms..8ms reset", "line 1: every needs a pause"},
      {"every 9ms.. reset", "line 1: every needs a pause"},
      {"every 9ms one of: reset | ", "line 1: fault \"\": empty"},
      {"every 9ms one of:", "line 1: fault \"\": empty"},
      {"\n\nuntil", "line 3: until needs one time"},
      {"until 1s 2s", "line 1: until needs one time"},
      {"sometimes reset", "line 1: \"sometimes\": lines begin with at, after, every or until"},
  };
  for (const auto& [text, message] : kCases) {
    const auto script = FaultScript::Parse(text, 1);
    ASSERT_FALSE(script) << text;
    EXPECT_THAT(script.error().message, HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace cygnet
