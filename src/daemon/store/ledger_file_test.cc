#include "daemon/store/ledger_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "support/fake_clock.h"
#include "support/file_size_limit.h"

namespace cygnet {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class LedgerFileTest : public testing::Test {
 protected:
  LedgerFileTest() {
    folder_ = std::filesystem::temp_directory_path() /
              ("cygnet-ledger-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    options_.path = folder_ / "ledger.jsonl";
  }
  ~LedgerFileTest() override { std::filesystem::remove_all(folder_); }

  struct Run {
    std::unique_ptr<Ledger> ledger;
    std::unique_ptr<LedgerFile> file;
  };
  Run Start() {
    Run run;
    run.ledger = std::make_unique<Ledger>(&clock_);
    auto file = LedgerFile::Open(options_, run.ledger.get(), &clock_);
    EXPECT_TRUE(file.has_value()) << (file ? "" : file.error().message);
    if (file) run.file = *std::move(file);
    return run;
  }
  static SaHalf Half(uint32_t spi, bool inbound = false) {
    return {.saddr = ParseAddress("192.0.2.1")->address,
            .daddr = ParseAddress("192.0.2.2")->address,
            .family = IpFamily::kV4,
            .spi = Spi(spi),
            .proto = 50,
            .reqid = Reqid(7),
            .half = HalfFor(inbound)};
  }
  static PlacementEntry Entry(uint32_t spi) {
    return {.half = Half(spi),
            .requested = "crypto",
            .requested_by = "client",
            .effective = "software",
            .where = "openssl",
            .reason = "table-full",
            .explanation = "the \"device\"\n is full"};
  }
  std::string Text(const std::string& name) const {
    std::ifstream file(folder_ / name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  std::filesystem::path folder_;
  LedgerFileOptions options_;
  test::FakeClock clock_;
};

TEST_F(LedgerFileTest, SurvivesARestart) {
  {
    Run run = Start();
    run.ledger->Placed(Entry(0x1000));
    const uint64_t key =
        *run.ledger->KeyGiven(Half(0x1000), "nic0", "device", "model x firmware 1");
    clock_.wall_seconds += 3;
    run.ledger->KeyEnded(key, true);
  }
  Run run = Start();
  const LedgerReport report = run.ledger->Report({});
  ASSERT_THAT(report.placements, SizeIs(1));
  EXPECT_EQ(report.placements[0].explanation, "the \"device\"\n is full");
  EXPECT_EQ(report.placements[0].half, Half(0x1000));
  ASSERT_THAT(report.keys, SizeIs(1));
  EXPECT_TRUE(report.keys[0].erased);
  EXPECT_EQ(report.keys[0].until_ms, report.keys[0].from_ms + 3000);
  EXPECT_EQ(report.keys[0].identity, "model x firmware 1");
  EXPECT_EQ(report.file, options_.path);
}

TEST_F(LedgerFileTest, AKeyOfARunThatWasKilledEndsWithANote) {
  Run killed = Start();
  (void)*killed.ledger->KeyGiven(Half(0x1000), "nic0", "device", "");
  std::filesystem::copy(options_.path, folder_ / "copy.jsonl");
  options_.path = folder_ / "copy.jsonl";
  clock_.wall_seconds += 100;
  for (int restart = 0; restart < 2; ++restart) {
    Run run = Start();
    const LedgerReport report = run.ledger->Report({});
    ASSERT_THAT(report.keys, SizeIs(1)) << restart;
    EXPECT_FALSE(report.keys[0].erased);
    EXPECT_NE(report.keys[0].until_ms, 0u);
    EXPECT_THAT(report.keys[0].note, HasSubstr("unexpectedly"));
    EXPECT_THAT(run.ledger->HeldKeys(), IsEmpty());
  }
}

TEST_F(LedgerFileTest, IsBoundedAndKeepsWhatIsHeldWhenItRotates) {
  options_.max_bytes = 64u << 10;
  options_.keep = 2;
  {
    Run run = Start();
    (void)*run.ledger->KeyGiven(Half(0x1), "nic0", "device", "");
    for (uint32_t i = 0; i < 4000; ++i) run.ledger->Placed(Entry(i));
    run.file->Sync();
    EXPECT_TRUE(std::filesystem::exists(folder_ / "ledger.jsonl.2"));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "ledger.jsonl.3"));
    uint64_t total = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      total += entry.file_size();
    }
    EXPECT_LT(total, 3 * (options_.max_bytes + (80u << 10)));
    EXPECT_THAT(Text("ledger.jsonl"), HasSubstr("key-held"));
  }
  Run run = Start();
  EXPECT_THAT(run.ledger->Report({.holder = "nic0"}).keys, SizeIs(1));
}

TEST_F(LedgerFileTest, ManyHeldKeysDoNotMakeItRotateForEver) {
  options_.max_bytes = 8u << 10;
  options_.keep = 1;
  Run run = Start();
  for (uint32_t i = 0; i < 200; ++i) {
    (void)*run.ledger->KeyGiven(Half(i), "nic0", "device", "");
  }
  for (int i = 0; i < 3; ++i) {
    run.ledger->Placed(Entry(0));
    run.file->Sync();
  }
  const std::string before = Text("ledger.jsonl.1");
  for (int i = 0; i < 5; ++i) {
    run.ledger->Placed(Entry(1));
    run.file->Sync();
  }
  EXPECT_EQ(Text("ledger.jsonl.1"), before);
}

TEST_F(LedgerFileTest, ASecondWriterIsRefused) {
  Run run = Start();
  Ledger other(&clock_);
  const auto refused = LedgerFile::Open(options_, &other, &clock_);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kBusy);
}

TEST_F(LedgerFileTest, DamagedLinesAreSteppedOver) {
  {
    Run run = Start();
    run.ledger->Placed(Entry(0x1000));
  }
  {
    std::ofstream file(options_.path, std::ios::app);
    file << "{\"t\": 1, \"event\": \"placement\"}\nnot json\n\n[1]\n"
         << std::string(10'000, 'x') << "\n{\"event\":\"key-given\",\"key\":1,\"src\":\"192.0";
  }
  {
    Run run = Start();
    run.ledger->Placed(Entry(0x1001));
  }
  Run run = Start();
  EXPECT_THAT(run.ledger->Report({}).placements, SizeIs(2));
}

TEST_F(LedgerFileTest, AKeyThatCannotBeWrittenIsNotGiven) {
  Run run = Start();
  ASSERT_TRUE(run.ledger->KeyGiven(Half(1), "nic0", "device", ""));
  const std::string before = Text("ledger.jsonl");
  for (const std::size_t room : {0u, 1u, 100u}) {
    const test::FileSizeLimit full(before.size() + room);
    const auto refused = run.ledger->KeyGiven(Half(2), "nic0", "device", "");
    ASSERT_FALSE(refused) << room;
    EXPECT_THAT(refused.error().message, HasSubstr("ledger.jsonl"));
    EXPECT_EQ(Text("ledger.jsonl"), before) << "no partial line";
    EXPECT_NE(run.file->error(), "");
    EXPECT_THAT(run.ledger->HeldKeys(), SizeIs(1));
  }
  EXPECT_TRUE(run.ledger->KeyGiven(Half(2), "nic0", "device", "")) << "there is room again";
  EXPECT_EQ(run.file->error(), "");
}

TEST_F(LedgerFileTest, AFullDiskAtTheStartIsNoEnd) {
  { Run run = Start(); }
  const test::FileSizeLimit full(Text("ledger.jsonl").size());
  Run run = Start();
  ASSERT_NE(run.file, nullptr);
  EXPECT_NE(run.file->error(), "");
  EXPECT_FALSE(run.ledger->KeyGiven(Half(1), "nic0", "device", ""));
}

TEST_F(LedgerFileTest, EveryTruncationAndChangeOfALineIsFound) {
  const LedgerStamp stamp{"gw1", "b007"};
  KeyEntry entry{.half = Half(0x1000), .holder = "nic0", .holder_kind = "device"};
  entry.from_ms = 1'790'000'000'123;
  const std::string line = LedgerLineText(LedgerKeyLine{7, entry}, stamp);
  EXPECT_THAT(line, HasSubstr(R"("time":"2026-09-21T14:13:20.123Z","host":"gw1","boot":"b007")"));
  ASSERT_TRUE(ParseLedgerLine(line).has_value());
  for (std::size_t size = 0; size < line.size(); ++size) {
    EXPECT_FALSE(ParseLedgerLine(line.substr(0, size)).has_value()) << size;
  }
  for (std::size_t at = 0; at < line.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = line;
      changed[at] = static_cast<char>(static_cast<uint8_t>(changed[at]) ^ (1u << bit));
      const auto parsed = ParseLedgerLine(changed);
      // Only the name of the checksum's field may change: the content is still the same.
      if (!parsed) continue;
      EXPECT_EQ(LedgerLineText(*parsed, stamp), line) << at;
    }
  }
}

TEST_F(LedgerFileTest, LinesOfEarlierVersionsAreRead) {
  const auto line = ParseLedgerLine(
      R"({"t":1790000000,"event":"key-given","key":7,"src":"192.0.2.1","dst":"192.0.2.2",)"
      R"("spi":"0x00001000","proto":50,"reqid":7,"direction":"out","holder":"nic0",)"
      R"("kind":"device","identity":"","from":1790000000})");
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(std::get<LedgerKeyLine>(*line).entry.from_ms, 1'790'000'000'000u);
}

TEST_F(LedgerFileTest, NoLinkLeadsElsewhereAndNobodyElseWrites) {
  const auto error = [this] {
    Ledger ledger(&clock_);
    const auto file = LedgerFile::Open(options_, &ledger, &clock_);
    return file ? "it was opened" : file.error().message;
  };
  std::ofstream(folder_ / "other") << "";
  std::filesystem::create_symlink(folder_ / "other", options_.path);
  EXPECT_THAT(error(), HasSubstr("symbolic link"));
  std::filesystem::remove(options_.path);
  std::filesystem::rename(folder_ / "other", options_.path);
  chmod(options_.path.c_str(), 0622);
  EXPECT_THAT(error(), HasSubstr("other users may write it"));
}

TEST_F(LedgerFileTest, AFolderThatIsNotThereIsAnError) {
  options_.path = folder_ / "no" / "ledger.jsonl";
  Ledger ledger(&clock_);
  const auto file = LedgerFile::Open(options_, &ledger, &clock_);
  ASSERT_FALSE(file.has_value());
  EXPECT_THAT(file.error().message, HasSubstr("No such file"));
}

// Somebody changes the file while the daemon runs. The next run reads the keys handed out before
// and after.
TEST_F(LedgerFileTest, WhatIsDoneToTheFileIsUndone) {
  const std::string old = folder_ / "old";
  const std::vector<std::pair<std::string, std::function<void()>>> mischief = {
      {"was deleted", [&] { std::filesystem::remove(options_.path); }},
      {"was replaced by another file", [&] { std::filesystem::rename(old, options_.path); }},
      {"was replaced by something that is not a regular file",
       [&] {
         std::filesystem::remove(options_.path);
         std::filesystem::create_symlink(old, options_.path);
       }},
      {"was truncated", [&] { std::filesystem::resize_file(options_.path, 0); }},
  };
  for (const auto& [what, act] : mischief) {
    for (const bool by_tick : {true, false}) {
      std::filesystem::remove(options_.path);
      std::filesystem::remove(old);
      {
        Run run = Start();
        std::filesystem::copy_file(options_.path, old);
        ASSERT_TRUE(run.ledger->KeyGiven(Half(1), "nic0", "device", ""));
        act();
        if (by_tick) run.file->Sync();
        if (!by_tick) {
          EXPECT_TRUE(run.ledger->KeyGiven(Half(2), "nic0", "device", ""));
        }
        EXPECT_THAT(run.file->mishaps(), HasSubstr(what + " while cygnetd ran (1 such"));
        EXPECT_EQ(run.file->error(), "");
        EXPECT_EQ(std::filesystem::symlink_status(options_.path).type(),
                  std::filesystem::file_type::regular);
      }
      Run next = Start();
      EXPECT_THAT(next.ledger->Report({.holder = "nic0"}).keys, SizeIs(by_tick ? 1 : 2)) << what;
    }
  }
}

TEST_F(LedgerFileTest, WhereItCannotBeMadeAnewNoKeyIsGiven) {
  Run run = Start();
  std::filesystem::remove(options_.path);
  std::filesystem::create_directories(options_.path + "/sub");
  EXPECT_FALSE(run.ledger->KeyGiven(Half(1), "nic0", "device", ""));
  EXPECT_THAT(run.file->error(), HasSubstr("was replaced by something that is not a regular file"));
  std::filesystem::remove_all(options_.path);
  run.file->Sync();
  EXPECT_EQ(run.file->error(), "");
  EXPECT_TRUE(run.ledger->KeyGiven(Half(1), "nic0", "device", ""));
}

TEST_F(LedgerFileTest, ASecondWriterIsRefusedThoughTheLockIsRemoved) {
  Run run = Start();
  for (int i = 0; i < 3;
       ++i) {  // by the file's own lock; by the lock's; by that of a full file's heir
    std::filesystem::remove(options_.path + ".lock");
    if (i == 1) run.file->Sync();
    if (i == 2) std::filesystem::remove(options_.path);
    if (i == 2) run.file->Sync();
    if (i == 2) std::filesystem::remove(options_.path + ".lock");
    Ledger other(&clock_);
    const auto refused = LedgerFile::Open(options_, &other, &clock_);
    ASSERT_FALSE(refused.has_value()) << i;
    EXPECT_EQ(refused.error().code, Errc::kBusy);
  }
  EXPECT_THAT(run.file->mishaps(), HasSubstr("(3 such"));
}

TEST_F(LedgerFileTest, WhoLostTheFileToAnotherDaemonGivesNoKeyAndLeavesIt) {
  Run first = Start();
  std::filesystem::remove(options_.path + ".lock");
  std::filesystem::remove(options_.path);
  Run second = Start();
  ASSERT_TRUE(second.ledger->KeyGiven(Half(1), "nic0", "device", ""));
  const std::string before = Text("ledger.jsonl");
  EXPECT_FALSE(first.ledger->KeyGiven(Half(2), "nic0", "device", ""));
  EXPECT_THAT(first.file->error(), HasSubstr("another cygnetd writes this file"));
  EXPECT_EQ(Text("ledger.jsonl"), before);
}

}  // namespace
}  // namespace cygnet
