// The parts of cygnet-web that need no daemon: options, the reader's channel, view, marks, history,
// and the words of the page.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "packet/drop_reason.h"
#include "support/file_size_limit.h"
#include "support/scripted_daemon.h"
#include "web/history.h"
#include "web/marks.h"
#include "web/options.h"
#include "web/page_files.h"
#include "web/reader.h"
#include "web/view.h"

namespace cygnet::web {
namespace {

using ::testing::HasSubstr;

class Folder {
 public:
  Folder() { EXPECT_NE(mkdtemp(name_.data()), nullptr); }
  ~Folder() { std::filesystem::remove_all(name_); }
  std::string operator/(const char* file) const { return name_ + "/" + file; }

 private:
  std::string name_ = "/tmp/cygnet-web-XXXXXX";
};

// --- Options ---

std::string WhyNot(const Options& options) {
  const Status status = CheckOptions(options);
  return status ? "" : status.error().message;
}

TEST(WebOptionsTest, BeyondLoopbackNeedsTlsAndToken) {
  EXPECT_EQ(WhyNot({}), "");
  EXPECT_EQ(WhyNot({.address = "127.8.9.1"}), "");
  EXPECT_EQ(WhyNot({.address = "::1"}), "");
  EXPECT_THAT(WhyNot({.address = "localhost"}), HasSubstr("not an IP address"));
  for (const char* address : {"0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "::ffff:127.0.0.1"}) {
    Options options{.address = address};
    EXPECT_THAT(WhyNot(options), HasSubstr("--certificate FILE and --key FILE")) << address;
    options.token_file = "token";
    EXPECT_THAT(WhyNot(options), HasSubstr("--certificate FILE and --key FILE")) << address;
    options.certificate_file = "certificate";
    EXPECT_THAT(WhyNot(options), HasSubstr("both or none")) << address;
    options.key_file = "key";
    EXPECT_EQ(WhyNot(options), "") << address;
    options.token_file = "";
    EXPECT_THAT(WhyNot(options), HasSubstr("--token FILE")) << address;
  }
}

TEST(WebOptionsTest, TokenFileIsForItsOwnerAlone) {
  const Folder folder;
  const std::string path = folder / "token";
  std::ofstream(path) << "0123456789abcdef0123456789abcdef\nmore\n";
  for (const mode_t mode : {0644u, 0640u, 0604u}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    const auto token = ReadToken(path);
    ASSERT_FALSE(token) << mode;
    EXPECT_THAT(token.error().message, HasSubstr("chmod 600")) << mode;
  }
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  const auto token = ReadToken(path);
  ASSERT_TRUE(token);
  EXPECT_EQ(*token, "0123456789abcdef0123456789abcdef");
  std::ofstream(path) << "short\n";
  EXPECT_THAT(ReadToken(path).error().message, HasSubstr("at least 32"));
  EXPECT_THAT(ReadToken(folder / "none").error().message, HasSubstr("none"));
}

// --- The reader ---

struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ours = UniqueFd(ends[0]);
    readers = UniqueFd(ends[1]);
  }
  UniqueFd ours;
  UniqueFd readers;
};

TEST(WebReaderTest, PassesItemsAndErrors) {
  const test::ScriptedDaemon daemon(
      {R"({"item":{"name":"nic0"}})", R"({"item":{"name":"nic1"}})", R"({"done":true})"},
      test::Ending::kClose);
  Pair pair;
  std::thread reader([&] { ServeReadings(std::move(pair.readers), daemon.connector()); });
  {
    ReaderClient client(std::move(pair.ours));
    std::vector<Json> items;
    ASSERT_TRUE(client.Read(Reading::kDevices, &items));
    ASSERT_EQ(items.size(), 2u);
    EXPECT_EQ(items[1]["name"], "nic1");
    // The daemon has closed its connection.
    const Status second = client.Read(Reading::kDevices, &items);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Errc::kIo);
    EXPECT_TRUE(items.empty());
  }
  reader.join();
}

// The process that serves may be taken over; it can have nothing done but the readings.
TEST(WebReaderTest, OtherRequestsEndTheReader) {
  Pair pair;
  bool connected = false;
  const char request = static_cast<char>(kReadings);
  ASSERT_EQ(send(pair.ours.get(), &request, 1, 0), 1);
  ServeReadings(std::move(pair.readers), [&]() -> Result<OperatorClient> {
    connected = true;
    return MakeError(Errc::kNoEntry, "no cygnetd");
  });
  EXPECT_FALSE(connected);
  for (std::size_t i = 0; i < kReadings; ++i) {
    const Json json = RequestFor(static_cast<Reading>(i));
    EXPECT_FALSE(json.contains("action") || json.contains("show_keys")) << json.dump();
    EXPECT_TRUE(json.contains("command"));
  }
}

TEST(WebReaderTest, ADaemonThatIsAwayIsToldAndNotTheEnd) {
  Pair pair;
  std::thread reader([&] {
    ServeReadings(std::move(pair.readers), []() -> Result<OperatorClient> {
      return MakeError(Errc::kNoEntry, "no cygnetd runs here");
    });
  });
  {
    ReaderClient client(std::move(pair.ours));
    std::vector<Json> items;
    for (int i = 0; i < 2; ++i) {
      const Status status = client.Read(Reading::kStat, &items);
      ASSERT_FALSE(status);
      EXPECT_EQ(status.error().message, "no cygnetd runs here");
    }
  }
  reader.join();
}

// --- View and marks ---

Json Sa(uint64_t bytes) {
  return {{"src", "192.0.2.1"},
          {"dst", "192.0.2.2"},
          {"spi", "0x00001001"},
          {"proto", "esp"},
          {"mode", "tunnel"},
          {"reqid", 7},
          {"state", "valid"},
          {"replay_window", 64},
          {"window_for_all", 128},
          {"lateness", Json::array({{{"from", 64}, {"accepted", 1}, {"rejected", 2}}})},
          {"replay", {{"oseq", 0}, {"seq", 1}}},
          {"usage", {{"bytes", bytes}, {"packets", bytes / 100}}},
          {"placements", Json::array({{{"direction", "out"},
                                       {"effective", "crypto"},
                                       {"device", "nic0"},
                                       {"explanation", "as requested"}}})}};
}

Readings Sample(uint64_t bytes) {
  Readings readings;
  readings.of(Reading::kSas) = {Sa(bytes)};
  readings.of(Reading::kPolicies) = {Json::parse(
      R"({"selector":"10.1.0.0/16 to 10.2.0.0/16","dir":"out","templates":
          [{"src":"192.0.2.1","dst":"192.0.2.2","reqid":7}]})")};
  readings.of(Reading::kDevices) = {Json::parse(
      R"({"name":"nic0","wire":"eth1","state":"up","link":{"state":"up"},
          "offload":{"capable":true,"sealed":10,"opened":0}})")};
  readings.of(Reading::kStat) = {
      Json{{"uptime_seconds", 9}, {"drops", {{"out-guard", bytes / 1000}}}}};
  return readings;
}

TEST(WebViewTest, RatesAndTheWayOfAFlow) {
  const Readings first = Sample(1000);
  const Readings second = Sample(3000);
  const Counts before = Counts::Of(first);
  const Counts now = Counts::Of(second);
  const Json view = MakeView(
      {.readings = &second, .before = &before, .now = &now, .seconds = 2, .time_ms = 5000});
  ASSERT_EQ(view["flows"].size(), 1u);
  const Json& flow = view["flows"][0];
  EXPECT_EQ(flow["bits_per_second"], 8000.0);
  EXPECT_EQ(flow["packets_per_second"], 10.0);
  EXPECT_EQ(flow["host"], "nic0");
  EXPECT_EQ(flow["wire"], "eth1");
  EXPECT_EQ(flow["policies"][0], "10.1.0.0/16 to 10.2.0.0/16");
  EXPECT_EQ(view["totals"]["halves"]["crypto"], 1);
  EXPECT_EQ(view["drops"][0]["per_second"], 1.0);
  EXPECT_EQ(view["lateness"][0]["window_for_all"], 128);
}

TEST(WebViewTest, AnEmptyDaemonAndManySas) {
  const Readings empty;
  const Counts none = Counts::Of(empty);
  const Json view =
      MakeView({.readings = &empty, .before = nullptr, .now = &none, .seconds = 0, .time_ms = 1});
  EXPECT_TRUE(view["flows"].empty());
  EXPECT_TRUE(view["daemon"]["up"]);
  Readings many;
  many.of(Reading::kSas).assign(kMostFlows + 5, Sa(1));
  const Counts counts = Counts::Of(many);
  const Json large =
      MakeView({.readings = &many, .before = nullptr, .now = &counts, .seconds = 0, .time_ms = 1});
  EXPECT_EQ(large["flows"].size(), kMostFlows);
  EXPECT_EQ(large["flows_left_out"], 5);
}

Readings PlacedAt(std::size_t sas, const char* effective, const char* device, uint64_t since) {
  Readings readings = Sample(0);
  readings.of(Reading::kSas).clear();
  for (std::size_t i = 0; i < sas; ++i) {
    Json sa = Sa(0);
    sa["spi"] = std::to_string(i);
    Json& half = sa["placements"][0];
    half["effective"] = effective;
    half["device"] = device;
    half["engine"] = "openssl";
    half["reason"] = "device-lost";
    half["since"] = since;
    if (since >= 20) {
      half["history"] = Json::array(
          {{{"time", 10}, {"effective", "crypto"}, {"where", "nic0"}, {"reason", "device-lost"}}});
    }
    readings.of(Reading::kSas).push_back(std::move(sa));
  }
  return readings;
}

TEST(WebMarksTest, MovesAreToldOnceAndPlacingIsNotAMove) {
  const Readings none = PlacedAt(0, "", "", 0);
  const Readings first = PlacedAt(1, "crypto", "nic0", 10);
  EXPECT_TRUE(MarksSince(nullptr, first, 1).empty());
  EXPECT_TRUE(MarksSince(&none, first, 1).empty());
  const Readings second = PlacedAt(1, "software", "", 20);
  const auto marks = MarksSince(&first, second, 25'000);
  ASSERT_EQ(marks.size(), 1u);
  EXPECT_EQ(marks[0].kind, "move");
  EXPECT_EQ(marks[0].time_ms, 20'000);
  EXPECT_EQ(marks[0].text, "crypto nic0 to software openssl: device-lost");
  EXPECT_TRUE(MarksSince(&second, second, 30'000).empty());
  EXPECT_TRUE(MarksSince(&second, none, 35'000).empty());
  // There and back between two looks.
  Readings third = second;
  Json& half = third.of(Reading::kSas)[0]["placements"][0];
  half["history"].push_back(
      {{"time", 20}, {"effective", "software"}, {"where", "openssl"}, {"reason", "device-lost"}});
  half["effective"] = "crypto";
  half["device"] = "nic0";
  half["since"] = 22;
  const auto back = MarksSince(&first, third, 40'000);
  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(MarksSince(&second, third, 40'000).size(), 1u);
}

// A device that fails moves all of its SAs: that must not push the fault itself off the page.
TEST(WebMarksTest, ManyMovesAreOneMark) {
  const Readings before = PlacedAt(1000, "crypto", "nic0", 10);
  const auto marks = MarksSince(&before, PlacedAt(1000, "software", "", 20), 25'000);
  ASSERT_EQ(marks.size(), 1u);
  EXPECT_EQ(marks[0].subject, "1000 halves of SAs");
}

TEST(WebMarksTest, FaultsBeginAndEnd) {
  const Readings good = Sample(0);
  Readings bad = good;
  Json& device = bad.of(Reading::kDevices)[0];
  device["state"] = "failed";
  device["failure"] = "the driver crashed";
  device["guard"] = {{"unsealed_stopped", 3}};
  const auto begin = MarksSince(&good, bad, 7);
  ASSERT_EQ(begin.size(), 2u);
  EXPECT_EQ(begin[0].kind, "fault");
  EXPECT_THAT(begin[0].text, HasSubstr("the driver crashed"));
  EXPECT_EQ(begin[1].kind, "guard");
  EXPECT_TRUE(MarksSince(&bad, bad, 8).empty());
  const auto end = MarksSince(&bad, good, 9);
  ASSERT_EQ(end.size(), 1u);
  EXPECT_EQ(end[0].kind, "end");
}

// --- History ---

Json DropSample(uint64_t count, uint64_t sas) {
  return {{"bytes", 100}, {"drops", {{"out-guard", count}}}, {"gauges", {{"sas", sas}}}};
}

TEST(WebHistoryTest, JoinsSamplesAndForgetsOldOnes) {
  const Folder folder;
  constexpr int64_t kStart = 1'700'000'400;
  History history(folder / "history.db");
  const Mark mark{.time_ms = kStart * 1000, .kind = "move", .subject = "sa", .text = "moved"};
  for (int i = 0; i < 60; ++i) {
    history.Add(kStart + i * 10, DropSample(2, i == 7 ? 9 : 3), {mark});
  }
  EXPECT_EQ(history.error(), "");
  const Json fine = history.Since(kStart, kStart + 600);
  EXPECT_EQ(fine["step"], 10);
  ASSERT_EQ(fine["samples"].size(), 60u);
  EXPECT_EQ(fine["marks"].size(), 1u);  // once, although it was told each time
  const Json day = history.Since(kStart, kStart + 86'400);
  EXPECT_EQ(day["step"], 300);
  ASSERT_EQ(day["samples"].size(), 2u);
  EXPECT_EQ(day["samples"][0][1]["drops"]["out-guard"], 60);
  EXPECT_EQ(day["samples"][0][1]["gauges"]["sas"], 9);
  const int64_t later = kStart + 40 * 86'400;
  history.Add(later, DropSample(1, 1), {});
  const Json month = history.Since(kStart, later + 1);
  EXPECT_EQ(month["step"], 3600);
  EXPECT_EQ(month["samples"].size(), 1u);
  EXPECT_TRUE(month["marks"].empty());
}

TEST(WebHistoryTest, OutlivesTheProcess) {
  const Folder folder;
  { History(folder / "history.db").Add(1'700'000'000, DropSample(2, 1), {}); }
  History again(folder / "history.db");
  EXPECT_EQ(again.Since(1'699'999'000, 1'700'000'100)["samples"].size(), 1u);
  struct stat info {};
  ASSERT_EQ(stat((folder / "history.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(WebHistoryTest, DamageIsPutAside) {
  const Folder folder;
  std::ofstream(folder / "history.db") << std::string(8192, 'x');
  History history(folder / "history.db");
  history.Add(1'700'000'000, DropSample(2, 1), {});
  EXPECT_EQ(history.error(), "");
  EXPECT_TRUE(std::filesystem::exists(folder / "history.db.damaged"));
}

// It opens, and cannot be written.
TEST(WebHistoryTest, DamageInsideIsPutAside) {
  const Folder folder;
  constexpr int64_t kStart = 1'700'000'000;
  {
    History history(folder / "history.db");
    for (int i = 0; i < 500; ++i) history.Add(kStart + i * 10, DropSample(2, 1), {});
  }
  const std::string path = folder / "history.db";
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(path));
  ASSERT_GT(size, 16384);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(static_cast<std::size_t>(size - 4096), 'x');
  }
  History history(path);
  for (int i = 500; i < 503; ++i) history.Add(kStart + i * 10, DropSample(2, 1), {});
  EXPECT_EQ(history.error(), "");
  EXPECT_TRUE(std::filesystem::exists(path + ".damaged"));
  EXPECT_FALSE(history.Since(kStart, kStart + 6000)["samples"].empty());
}

TEST(WebHistoryTest, AClockThatWasSetBackDoesNotEndIt) {
  const Folder folder;
  constexpr int64_t kStart = 1'700'000'000;
  History history(folder / "later/history.db");
  history.Add(kStart + 86'400 * 365, DropSample(2, 1), {});
  EXPECT_NE(history.error(), "");
  std::filesystem::create_directory(folder / "later");
  history.Add(kStart, DropSample(2, 1), {});
  EXPECT_EQ(history.error(), "");
}

TEST(WebHistoryTest, WithoutRoomItGoesOnAndSaysWhy) {
  const Folder folder;
  History history(folder / "history.db");
  history.Add(1'700'000'000, DropSample(2, 1), {});
  {
    const test::FileSizeLimit limit(4096);
    for (int i = 1; i < 4; ++i) history.Add(1'700'000'000 + i * 10, DropSample(2, 1), {});
    EXPECT_NE(history.error(), "");
  }
  history.Add(1'700'000'200, DropSample(2, 1), {});
  EXPECT_EQ(history.error(), "");
  History absent("/nonexistent/history.db");
  absent.Add(1'700'000'000, DropSample(2, 1), {});
  EXPECT_THAT(absent.error(), HasSubstr("/nonexistent/history.db"));
}

// --- The page ---

TEST(WebPageTest, KnowsEveryDropReason) {
  std::string drops;
  for (const PageFile& file : PageFiles()) {
    if (file.path == "/drops.js") drops = file.content;
    // No page of another origin, and nothing inline.
    EXPECT_EQ(file.content.find("https://"), std::string_view::npos) << file.path;
    EXPECT_EQ(file.content.find("innerHTML"), std::string_view::npos) << file.path;
  }
  for (std::size_t i = 1; i < kDropReasons; ++i) {
    const DropReasonInfo& info = Describe(static_cast<DropReason>(i));
    EXPECT_THAT(
        drops, HasSubstr("\"" + std::string(info.name) + "\": \"" + std::string(info.text) + "\""));
  }
}

}  // namespace
}  // namespace cygnet::web
