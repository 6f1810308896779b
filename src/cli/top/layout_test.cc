// Lines that fit: at every width, with every state.
#include "cli/top/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/top_readings.h"

namespace cygnet::top {
namespace {

using test::DeviceJson;
using test::kNow;
using test::SaJson;
using test::StatJson;
using ::testing::HasSubstr;
using ::testing::Not;

std::string AllOf(const std::vector<Line>& lines) {
  std::string text;
  for (const Line& line : lines) text += TextOf(line) + "\n";
  return text;
}

View ViewOf(std::vector<Json> sas, const std::string& device = "up") {
  Readings readings;
  readings.of(Reading::kSas) = std::move(sas);
  readings.of(Reading::kDevices) = {DeviceJson(device, 100)};
  readings.of(Reading::kStat) = {StatJson(100, 0, 3)};
  Readings first = readings;
  first.of(Reading::kStat) = {StatJson(99, 0, 1)};
  for (Json& sa : first.of(Reading::kSas)) sa["usage"]["bytes"] = 0;
  const Taken before = Taken::Of(first);
  return MakeView(readings, &before, Taken::Of(readings), 1.0, static_cast<int64_t>(kNow) * 1000);
}

View TwoSas(const std::string& device = "up") {
  return ViewOf({SaJson({.packets = 10, .bytes = 100'000}), SaJson({.spi = "0x00002001",
                                                                    .direction = "in",
                                                                    .effective = "software",
                                                                    .where = "vaes_gcm",
                                                                    .packets = 10,
                                                                    .bytes = 50'000,
                                                                    .drops = 4})},
                device);
}

std::vector<Line> Draw(const View& view, State state, const Size& size, Detail detail = {}) {
  const auto rows = Arrange(view, state);
  Follow(rows, PageOf(view, state, size), &state);
  return Screen(view, state, rows, detail, size);
}

TEST(TopLineTest, CutsAndWraps) {
  EXPECT_EQ(TextOf(Cut({{.text = "abc"}, {.text = "def"}}, 6)), "abcdef");
  EXPECT_EQ(TextOf(Cut({{.text = "abc"}, {.text = "def"}}, 5)), "abcd>");
  EXPECT_EQ(TextOf(Cut({{.text = "abc"}, {.text = "def"}}, 3)), "ab>");
  EXPECT_EQ(AllOf(Wrapped("  one two three", 13)), "  one two\n  three\n");
  EXPECT_EQ(AllOf(Wrapped("abcdefgh", 3)), "abc\ndef\ngh\n");
  EXPECT_EQ(AllOf(Wrapped("", 3)), "\n");
  EXPECT_EQ(AllOf(Wrapped("a\x1b[2Jb", 20)), "a?[2Jb\n");  // no text moves the cursor
}

TEST(TopLineTest, ATableLeavesOutWhatMattersLeast) {
  const std::vector<Column> columns = {
      {.title = "A", .width = 4, .most = 8, .right = false, .importance = 1},
      {.title = "B", .width = 4, .most = 4, .right = true, .importance = 2}};
  const std::vector<Cells> rows = {{{.text = "abcdef"}, {.text = "7"}}};
  EXPECT_EQ(AllOf(Table(columns, rows, 4)), "   B\n   7\n");
  EXPECT_EQ(AllOf(Table(columns, rows, 9)), "A       B\nabc>    7\n");
  EXPECT_EQ(AllOf(Table(columns, rows, 11)), "A         B\nabcdef    7\n");
}

TEST(TopLayoutTest, EightyColumnsShowWhatIsAskedFor) {
  const std::string text = AllOf(Draw(TwoSas(), {}, {.rows = 24, .columns = 80}));
  for (const char* head :
       {"DIR", "DST", "SPI", "WHERE", "FOR", "PKT/S", "BIT/S", "DROPS", "LATE", "AGE", "LEFT"}) {
    EXPECT_THAT(text, HasSubstr(head));
  }
  EXPECT_THAT(text, HasSubstr("crypto nic0"));
  EXPECT_THAT(text, HasSubstr("0x00001001"));
  EXPECT_THAT(text, HasSubstr("800k"));
  EXPECT_THAT(text, HasSubstr("2h00"));
  EXPECT_THAT(text, HasSubstr("drops 2/s in-replay"));
  EXPECT_THAT(text, HasSubstr("nic0 up 2/4 slots"));
}

TEST(TopLayoutTest, EverySizeHolds) {
  const std::vector<View> views = {TwoSas(), TwoSas("failed"), ViewOf({}), View{}};
  Detail detail;
  detail.read = true;
  detail.sas = {SaJson({.packets = 10})};
  for (const View& view : views) {
    for (std::size_t columns = 1; columns < 200; columns += columns < 30 ? 1 : 17) {
      for (const std::size_t rows : {1u, 2u, 5u, 14u, 60u}) {
        for (int which = 0; which < 7; ++which) {
          State state;
          if (which < 4) state.pane = static_cast<Pane>(which);
          if (which == 4) state.help = true;
          if (which == 5) state.prompt = Prompt::kFilter;
          if (which == 6 && !view.sas.empty()) {
            state.detail = true;
            state.selected = view.sas[0].key;
          }
          const auto lines = Draw(view, state, {.rows = rows, .columns = columns}, detail);
          ASSERT_EQ(lines.size(), rows) << columns << " " << which;
          for (const Line& line : lines) ASSERT_LE(TextOf(line).size(), columns) << TextOf(line);
        }
      }
    }
  }
}

TEST(TopLayoutTest, TwentyColumnsStillNameTheSa) {
  const std::string text = AllOf(Draw(TwoSas(), {}, {.rows = 10, .columns = 20}));
  EXPECT_THAT(text, HasSubstr("0x00001001"));
  EXPECT_THAT(text, HasSubstr("BIT/S"));
}

TEST(TopLayoutTest, ATinyScreenHasOneLineOfHeaderAndTheRows) {
  const auto lines = Draw(TwoSas(), {}, {.rows = 5, .columns = 20});
  EXPECT_THAT(TextOf(lines[0]), HasSubstr("cygnetd up"));
  EXPECT_THAT(TextOf(lines[2]), HasSubstr("0x00001001"));
}

TEST(TopLayoutTest, AFaultIsSaidInWords) {
  const View view = TwoSas("failed");
  EXPECT_THAT(AllOf(Draw(view, {}, {})), HasSubstr("nic0 failed"));
  EXPECT_THAT(AllOf(Draw(view, {.pane = Pane::kDevices}, {})),
              HasSubstr("nic0: its offload unit is failed"));
}

TEST(TopLayoutTest, AnAbsentDaemonIsSaid) {
  View view;
  view.error = "no cygnetd in this network namespace";
  EXPECT_THAT(AllOf(Draw(view, {}, {})),
              HasSubstr("NO DATA: no cygnetd in this network namespace; trying again"));
}

TEST(TopLayoutTest, AnEmptyDaemonSaysWhatToDo) {
  EXPECT_THAT(AllOf(Draw(ViewOf({}), {}, {})), HasSubstr("no SA exists"));
  EXPECT_THAT(AllOf(Draw(TwoSas(), {.filter = "zzz"}, {})), HasSubstr("no SA passes the filter"));
}

TEST(TopLayoutTest, TheDetailHasHistoryLimitsAndLateness) {
  const View view = TwoSas();
  Detail detail;
  detail.read = true;
  Json sa = SaJson({.spi = "0x00002001", .direction = "in", .packets = 10});
  sa["limits"] = {{"hard_packets", 1000}};
  sa["lateness"] = {{{"from", 1}, {"accepted", 7}, {"rejected", 0}},
                    {{"from", 64}, {"accepted", 0}, {"rejected", 2}}};
  sa["window_for_all"] = 128;
  sa["placements"][0]["history"] = {{{"time", kNow - 90},
                                     {"requested", "crypto"},
                                     {"requested_by", "client"},
                                     {"effective", "crypto"},
                                     {"where", "nic0"},
                                     {"reason", "requested"},
                                     {"explanation", ""}}};
  detail.sas = {sa};
  State state{.detail = true};
  state.selected = view.sas[1].key;
  const std::string text = AllOf(Draw(view, state, {.rows = 60, .columns = 80}, detail));
  EXPECT_THAT(text, HasSubstr("hard_packets"));
  EXPECT_THAT(text, HasSubstr("64-127"));
  EXPECT_THAT(text, HasSubstr("2 rejected"));
  EXPECT_THAT(text, HasSubstr("a replay window of 128 accepts all"));
  EXPECT_THAT(text, HasSubstr("crypto"));
  state.selected = "192.0.2.9 192.0.2.8 esp 0x00000bad out";
  EXPECT_THAT(AllOf(Draw(view, state, {}, detail)), HasSubstr("The SA is gone."));
}

TEST(TopLayoutTest, OnceShowsEverything) {
  const std::string text = AllOf(Whole(TwoSas(), {}, 80));
  for (const char* part : {"0x00001001", "0x00002001", "DEVICE", "WORKER", "DROPPED FOR"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text, Not(HasSubstr("Tab Enter")));
}

}  // namespace
}  // namespace cygnet::top
