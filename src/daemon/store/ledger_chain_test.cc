// The chain of the ledger's file, through runs, crashes, full files, and what others do to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "chain/chain_check.h"
#include "daemon/store/ledger_file.h"
#include "support/fake_clock.h"
#include "support/file_size_limit.h"

namespace cygnet {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class LedgerChainTest : public testing::Test {
 protected:
  LedgerChainTest() {
    char folder[] = "/tmp/cygnet-chain-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    options_.path = folder_ / "ledger.jsonl";
  }
  ~LedgerChainTest() override { std::filesystem::remove_all(folder_); }

  struct Run {
    std::vector<WrittenHead> heads{};
    std::unique_ptr<Ledger> ledger{};
    std::unique_ptr<LedgerFile> file{};  // its end writes a head
  };
  std::unique_ptr<Run> Start() {
    auto run = std::make_unique<Run>();
    run->ledger = std::make_unique<Ledger>(&clock_);
    auto file = LedgerFile::Open(options_, run->ledger.get(), &clock_);
    EXPECT_TRUE(file.has_value()) << (file ? "" : file.error().message);
    if (!file) return run;
    run->file = *std::move(file);
    run->file->SetHeadListener(
        [heads = &run->heads](const WrittenHead& head) { heads->push_back(head); });
    return run;
  }
  static SaHalf Half(uint32_t spi) {
    return {.saddr = ParseAddress("192.0.2.1")->address,
            .daddr = ParseAddress("192.0.2.2")->address,
            .family = IpFamily::kV4,
            .spi = Spi(spi),
            .proto = 50,
            .reqid = Reqid(7),
            .half = HalfFor(false)};
  }
  static PlacementEntry Entry(uint32_t spi) {
    return {.half = Half(spi), .requested = "no", .effective = "software"};
  }
  static void Give(Run* run, uint32_t spi) {
    ASSERT_TRUE(run->ledger->KeyGiven(Half(spi), "nic0", "device", ""));
  }
  std::string Text(const std::string& name = "ledger.jsonl") const {
    std::ifstream file(folder_ / name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  void Rewrite(const std::string& text) const { std::ofstream(options_.path) << text; }
  std::vector<std::string> Lines() const {
    std::vector<std::string> lines;
    std::istringstream text(Text());
    for (std::string line; std::getline(text, line);) lines.push_back(line + "\n");
    return lines;
  }
  static std::string Joined(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text += line;
    return text;
  }
  ChainVerdict Check(std::initializer_list<const char*> names = {"ledger.jsonl"}) const {
    ChainCheck check;
    for (const char* name : names) check.Take(name, Text(name));
    check.Finish();
    return check.verdict();
  }
  static std::vector<std::string> TextsOf(const std::vector<ChainFinding>& findings) {
    std::vector<std::string> texts;
    for (const ChainFinding& row : findings) texts.push_back(row.text);
    return texts;
  }

  std::filesystem::path folder_;
  LedgerFileOptions options_;
  test::FakeClock clock_;
};

TEST_F(LedgerChainTest, GoesOnInTheNextRun) {
  for (int i = 0; i < 3; ++i) Give(Start().get(), 1);
  const ChainVerdict verdict = Check();
  EXPECT_THAT(TextsOf(verdict.problems), IsEmpty());
  EXPECT_EQ(verdict.first, 1u);
  EXPECT_EQ(verdict.last, verdict.linked);
  EXPECT_EQ(verdict.heads, 6u) << "a start and a stop of each run";
  EXPECT_EQ(verdict.head_of + 1, verdict.last);
  EXPECT_THAT(Start()->file->found(), IsEmpty());
}

TEST_F(LedgerChainTest, GoesOnInTheNextFile) {
  options_.max_bytes = 64u << 10;
  {
    const auto run = Start();
    Give(run.get(), 1);
    for (uint32_t i = 0; i < 400; ++i) run->ledger->Placed(Entry(i));
    run->file->Sync();
    EXPECT_THAT(run->heads, SizeIs(testing::Ge(2u)));
  }
  ASSERT_FALSE(Text("ledger.jsonl.1").empty());
  const ChainVerdict all = Check(
      {"ledger.jsonl.4", "ledger.jsonl.3", "ledger.jsonl.2", "ledger.jsonl.1", "ledger.jsonl"});
  EXPECT_THAT(TextsOf(all.problems), IsEmpty());
  EXPECT_EQ(all.linked, all.last);
  const ChainVerdict second = Check();
  EXPECT_THAT(TextsOf(second.problems), IsEmpty()) << "it can be checked alone";
  EXPECT_GT(second.first, 1u);
  EXPECT_THAT(Start()->file->found(), IsEmpty());
}

TEST_F(LedgerChainTest, TheHeadIsSignedEveryHour) {
  const auto run = Start();
  ASSERT_THAT(run->heads, SizeIs(1));
  EXPECT_EQ(run->heads[0].head.number, 1u);
  EXPECT_EQ(run->heads[0].key, run->file->key());
  clock_.monotonic_ns += 3'599'000'000'000;
  run->file->Sync();
  EXPECT_THAT(run->heads, SizeIs(1));
  clock_.monotonic_ns += 1'000'000'000;
  run->file->Sync();
  run->file->Sync();
  ASSERT_THAT(run->heads, SizeIs(2));
  EXPECT_EQ(run->heads[1].head.number, 2u);
  EXPECT_EQ(run->file->head().number, 3u);
}

// The check takes a key behind an old head for forged.
TEST_F(LedgerChainTest, AHeadThatIsDueComesBeforeAKey) {
  const auto run = Start();
  clock_.monotonic_ns += 3'600'000'000'000;
  Give(run.get(), 1);
  const std::vector<std::string> lines = Lines();
  ASSERT_GE(lines.size(), 2u);
  EXPECT_THAT(lines[lines.size() - 2], HasSubstr("\"event\":\"head\",\"why\":\"hour\""));
  EXPECT_THAT(lines.back(), HasSubstr("key-given"));
}

TEST_F(LedgerChainTest, ALineThatCannotBeWrittenLeavesNoGap) {
  {
    const auto run = Start();
    Give(run.get(), 1);
    {
      const test::FileSizeLimit full(Text().size() + 10);
      ASSERT_FALSE(run->ledger->KeyGiven(Half(2), "nic0", "device", ""));
      run->ledger->Placed(Entry(1));
      run->file->Sync();
    }
    Give(run.get(), 3);
  }
  EXPECT_THAT(TextsOf(Check().problems), IsEmpty());
}

TEST_F(LedgerChainTest, ALineThatACrashCutShortIsRepairedAndSaid) {
  {
    const auto run = Start();
    Give(run.get(), 1);
  }
  const std::string whole = Text();
  const std::size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  for (std::size_t size = last + 1; size < whole.size(); size += 7) {
    std::filesystem::remove(options_.path + ".lock");  // it got only as far as the file
    Rewrite(whole.substr(0, size));
    Give(Start().get(), 2);
    const ChainVerdict verdict = Check();
    EXPECT_THAT(TextsOf(verdict.problems), IsEmpty()) << size;
    EXPECT_THAT(TextsOf(verdict.notes), Contains(HasSubstr("cut short by a crash"))) << size;
  }
}

TEST_F(LedgerChainTest, WhatWasDoneWhileNoDaemonRanIsFoundOnce) {
  {
    const auto run = Start();
    Give(run.get(), 1);
  }
  const std::vector<std::string> lines = Lines();
  ASSERT_THAT(lines, SizeIs(testing::Ge(5u)));
  auto removed = lines;
  removed.erase(removed.begin() + 2);
  Rewrite(Joined(removed));
  EXPECT_THAT(Start()->file->found(), HasSubstr("record 3 is missing"));
  EXPECT_THAT(TextsOf(Check().problems), ElementsAre("record 3 is missing before it"));
  EXPECT_THAT(TextsOf(Check().notes), Contains(HasSubstr("cygnetd found: record 3 is missing")));
  EXPECT_THAT(Start()->file->found(), IsEmpty()) << "the ledger has it";
}

TEST_F(LedgerChainTest, ACutEndAndAnOlderCopyAreFound) {
  std::string copy;
  {
    const auto run = Start();
    Give(run.get(), 1);
    copy = Text();
    for (uint32_t i = 0; i < 5; ++i) run->ledger->Placed(Entry(i));
  }
  const ChainHead end = Check().problems.empty() ? ChainHead{.number = Check().last} : ChainHead{};
  Rewrite(copy);
  {
    const auto run = Start();
    EXPECT_THAT(run->file->found(),
                HasSubstr("to " + std::to_string(end.number) + " are missing before it"));
    Give(run.get(), 2);
  }
  EXPECT_THAT(TextsOf(Check().problems), Contains(HasSubstr("are missing before it")));
  EXPECT_THAT(Start()->file->found(), IsEmpty());
}

TEST_F(LedgerChainTest, ALedgerThatWasDeletedDoesNotBeginAnew) {
  { const auto run = Start(); }
  const uint64_t last = Check().last;
  std::filesystem::remove(options_.path);
  EXPECT_THAT(Start()->file->found(), HasSubstr("are missing before it: the ledger had got there"));
  EXPECT_THAT(TextsOf(Check().problems),
              Contains("records 1 to " + std::to_string(last) + " are missing before it"));
}

TEST_F(LedgerChainTest, ACrashWithinARotationLeavesFilesThatStandAlone) {
  { const auto run = Start(); }
  std::filesystem::rename(options_.path, options_.path + ".1");
  EXPECT_THAT(Start()->file->found(), IsEmpty());
  EXPECT_THAT(TextsOf(Check().problems), IsEmpty());
  EXPECT_THAT(TextsOf(Check({"ledger.jsonl.1", "ledger.jsonl"}).problems), IsEmpty());
}

TEST_F(LedgerChainTest, WhatIsDoneWhileItRunsIsInTheChain) {
  {
    const auto run = Start();
    Give(run.get(), 1);
    std::filesystem::resize_file(options_.path, 300);
    Give(run.get(), 2);
    EXPECT_THAT(run->file->mishaps(), HasSubstr("was truncated"));
    std::ofstream(options_.path, std::ios::app) << "{\"event\":\"placement\"}\n";
    Give(run.get(), 3);
    EXPECT_THAT(run->file->mishaps(), HasSubstr("was written by others"));
  }
  const ChainVerdict verdict = Check();
  EXPECT_THAT(TextsOf(verdict.problems), Contains(HasSubstr("missing before it")));
  EXPECT_THAT(TextsOf(verdict.problems), Contains(HasSubstr("a line without a link")));
  EXPECT_THAT(TextsOf(verdict.notes), Contains(HasSubstr("was truncated while cygnetd ran")));
}

TEST_F(LedgerChainTest, AnotherKeyIsSaid) {
  { const auto run = Start(); }
  const std::string before = Check().keys[0];
  std::filesystem::remove(options_.path + ".key");
  const auto run = Start();
  EXPECT_NE(run->file->key(), before);
  EXPECT_THAT(run->file->found(), HasSubstr("key " + before + " signed until now"));
  EXPECT_THAT(TextsOf(Check().problems), ElementsAre(HasSubstr("signed by another key")));
}

TEST_F(LedgerChainTest, WithoutAKeyItGoesOnUnsigned) {
  std::filesystem::create_directory(options_.path + ".key");
  const auto run = Start();
  EXPECT_THAT(run->file->key_error(), HasSubstr("not a regular file"));
  Give(run.get(), 1);
  EXPECT_THAT(TextsOf(Check().notes), Contains("heads are not signed from here on"));
  EXPECT_THAT(TextsOf(Check().problems), ElementsAre(HasSubstr("no head is signed")));
  std::filesystem::remove(options_.path + ".key");
  clock_.monotonic_ns += 3'600'000'000'000;
  run->file->Sync();
  EXPECT_EQ(run->file->key_error(), "");
  EXPECT_EQ(Check().heads, 1u);
}

TEST_F(LedgerChainTest, LinesOfAnEarlierVersionStayAsTheyAre) {
  const LedgerStamp stamp{"gw1", "b007"};
  const std::string old = LedgerLineText(Entry(1), stamp) + "\n";
  Rewrite(old);
  ASSERT_EQ(chmod(options_.path.c_str(), 0600), 0);
  {
    const auto run = Start();
    EXPECT_THAT(run->ledger->Report({}).placements, SizeIs(1));
    EXPECT_THAT(run->file->found(), IsEmpty());
  }
  EXPECT_TRUE(Text().starts_with(old));
  const ChainVerdict verdict = Check();
  EXPECT_THAT(TextsOf(verdict.problems), IsEmpty());
  EXPECT_EQ(verdict.older, 1u);
}

}  // namespace
}  // namespace cygnet
