// Sorting, filtering, the cursor, and what each key does.
#include "cli/top/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cygnet::top {
namespace {

using ::testing::ElementsAre;

View ThreeSas() {
  View view;
  const auto add = [&view](const char* spi, const char* place, double bits, uint64_t drops) {
    SaRow row;
    row.spi = spi;
    row.key = std::string("192.0.2.1 192.0.2.2 esp ") + spi + " out";
    row.direction = "out";
    row.dst = "192.0.2.2";
    row.place = place;
    row.bits_per_second = bits;
    row.drops = drops;
    view.sas.push_back(row);
  };
  add("0x00000003", "crypto nic0", 10, 0);
  add("0x00000001", "software openssl", 30, 7);
  add("0x00000002", "crypto nic1", 20, 2);
  return view;
}

std::vector<std::string> Spis(const View& view, const State& state) {
  std::vector<std::string> spis;
  for (const SaRow* row : Arrange(view, state)) spis.push_back(row->spi.substr(9));
  return spis;
}

// Presses keys as a user does, with three rows on the screen.
class Keys {
 public:
  explicit Keys(View view) : view_(std::move(view)) {}
  Outcome Press(int key) {
    const auto rows = Arrange(view_, state);
    Follow(rows, 2, &state);
    const Outcome outcome = OnKey(key, rows, 2, &state);
    Follow(Arrange(view_, state), 2, &state);
    return outcome;
  }
  void Type(std::string_view text) {
    for (const char c : text) Press(c);
  }
  State state;
  View view_;
};

TEST(TopArrangeTest, SortsByEachKey) {
  const View view = ThreeSas();
  State state;
  EXPECT_THAT(Spis(view, state), ElementsAre("1", "2", "3"));  // the most bits first
  state.reversed = true;
  EXPECT_THAT(Spis(view, state), ElementsAre("3", "2", "1"));
  state = {.sort = SortKey::kDrops};
  EXPECT_THAT(Spis(view, state), ElementsAre("1", "2", "3"));
  state = {.sort = SortKey::kSpi};
  EXPECT_THAT(Spis(view, state), ElementsAre("1", "2", "3"));
  state = {.sort = SortKey::kWhere};
  EXPECT_THAT(Spis(view, state), ElementsAre("3", "2", "1"));
}

TEST(TopArrangeTest, EqualRowsKeepTheirOrder) {
  const View view = ThreeSas();
  EXPECT_THAT(Spis(view, {.sort = SortKey::kLate}), ElementsAre("3", "1", "2"));
  EXPECT_THAT(Spis(view, {.sort = SortKey::kLate, .reversed = true}), ElementsAre("3", "1", "2"));
}

TEST(TopArrangeTest, EveryWordOfTheFilterMustBeThere) {
  const View view = ThreeSas();
  EXPECT_THAT(Spis(view, {.filter = "CRYPTO"}), ElementsAre("2", "3"));
  EXPECT_THAT(Spis(view, {.filter = " nic1  crypto "}), ElementsAre("2"));
  EXPECT_THAT(Spis(view, {.filter = "crypto openssl"}), ElementsAre());
  EXPECT_THAT(Spis(view, {.filter = "0x2"}), ElementsAre("2"));  // without its zeros
}

TEST(TopArrangeTest, NamesOfKeysAreParsed) {
  for (int i = 0; i < static_cast<int>(SortKey::kCount); ++i) {
    const auto key = static_cast<SortKey>(i);
    EXPECT_EQ(ParseSortKey(Name(key)), key);
  }
  EXPECT_EQ(ParseSortKey("colour"), std::nullopt);
}

TEST(TopKeysTest, TheCursorStaysOnItsSa) {
  Keys keys(ThreeSas());
  keys.Press(kKeyDown);
  EXPECT_EQ(keys.state.at, 1u);
  EXPECT_THAT(keys.state.selected, ::testing::HasSubstr("0x00000002"));
  keys.view_.sas[2].bits_per_second = 1;  // it falls behind
  Follow(Arrange(keys.view_, keys.state), 2, &keys.state);
  EXPECT_EQ(keys.state.at, 2u);
  EXPECT_EQ(keys.state.first, 1u);  // and the page with it
}

TEST(TopKeysTest, TheCursorStaysInTheTable) {
  Keys keys(ThreeSas());
  keys.Press('k');
  EXPECT_EQ(keys.state.at, 0u);
  keys.Press(kKeyEnd);
  keys.Press('j');
  EXPECT_EQ(keys.state.at, 2u);
  keys.view_.sas.resize(1);
  Follow(Arrange(keys.view_, keys.state), 2, &keys.state);
  EXPECT_EQ(keys.state.at, 0u);
  keys.view_.sas.clear();
  keys.Press(kKeyPageDown);
  keys.Press(kKeyEnter);
  EXPECT_FALSE(keys.state.detail);
}

TEST(TopKeysTest, EnterAndEscape) {
  Keys keys(ThreeSas());
  keys.Press(kKeyEnter);
  EXPECT_TRUE(keys.state.detail);
  EXPECT_THAT(keys.state.selected, ::testing::HasSubstr("0x00000001"));
  EXPECT_EQ(keys.Press('q'), Outcome::kStay);  // back first
  EXPECT_FALSE(keys.state.detail);
  keys.Press('?');
  EXPECT_TRUE(keys.state.help);
  keys.Press(kKeyEscape);
  EXPECT_FALSE(keys.state.help);
  EXPECT_EQ(keys.Press('q'), Outcome::kQuit);
}

TEST(TopKeysTest, AFilterIsTypedAndDropped) {
  Keys keys(ThreeSas());
  keys.Press('/');
  keys.Type("nicq");  // the prompt gets every character
  keys.Press(kKeyBackspace);
  keys.Type("0");
  keys.Press(kKeyEnter);
  EXPECT_EQ(keys.state.filter, "nic0");
  EXPECT_THAT(Spis(keys.view_, keys.state), ElementsAre("3"));
  keys.Press('/');
  keys.Type("x");
  keys.Press(kKeyEscape);
  EXPECT_EQ(keys.state.filter, "nic0");
  keys.Press(kKeyEscape);
  EXPECT_EQ(keys.state.filter, "");
}

TEST(TopKeysTest, TheDelayIsChecked) {
  Keys keys(ThreeSas());
  keys.Press('d');
  keys.Type("2.5");
  keys.Press(kKeyEnter);
  EXPECT_EQ(keys.state.delay, 2.5);
  for (const char* wrong : {"0", "-1", "1e9", "nan", "inf", "", "2x"}) {
    keys.Press('d');
    keys.Type(wrong);
    keys.Press(kKeyEnter);
    EXPECT_EQ(keys.state.delay, 2.5) << wrong;
    EXPECT_NE(keys.state.note, "") << wrong;
  }
}

TEST(TopKeysTest, SortPauseAndPanes) {
  Keys keys(ThreeSas());
  keys.Press('s');
  EXPECT_EQ(keys.state.sort, SortKey::kPackets);
  keys.Press('<');
  keys.Press('<');
  EXPECT_EQ(keys.state.sort, SortKey::kWhere);
  keys.Press('r');
  EXPECT_TRUE(keys.state.reversed);
  keys.Press('p');
  EXPECT_TRUE(keys.state.paused);
  keys.Press(kKeyTab);
  EXPECT_EQ(keys.state.pane, Pane::kDevices);
  keys.Press(kKeyBackTab);
  keys.Press(kKeyBackTab);
  EXPECT_EQ(keys.state.pane, Pane::kDrops);
}

TEST(TopKeysTest, AnyKeyIsHarmless) {
  Keys keys(ThreeSas());
  unsigned random = 1;
  for (int i = 0; i < 3000; ++i) {
    random = random * 1'103'515'245u + 12'345u;
    keys.Press(static_cast<int>((random >> 16) % 0x110));
    if (i % 97 == 0) keys.view_ = i % 2 == 0 ? View{} : ThreeSas();
    ASSERT_GE(keys.state.delay, kLeastDelay);
    ASSERT_LE(keys.state.at, 3u);
  }
}

}  // namespace
}  // namespace cygnet::top
