#include "cli/ledger_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "chain/hash_chain.h"
#include "cli/cygnet.h"

namespace cygnet {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Files as the daemon writes them, but for the heads: test/interop/test_ledger.py has those.
class LedgerCommandTest : public ::testing::Test {
 protected:
  LedgerCommandTest() {
    char folder[] = "/tmp/cygnet-command-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    file_ = folder_ + "/ledger.jsonl";
  }
  ~LedgerCommandTest() override { std::filesystem::remove_all(folder_); }

  void Add(const std::string& time, const std::string& event, const std::string& more = {}) {
    const std::string open = R"({"time":"2026-11-)" + time + R"(:00.000Z","host":")" + host_ +
                             R"(","boot":"b","event":")" + event + "\"" + more;
    text_ += Linked(WithChecksum(open), &head_) + "\n";
  }
  static std::string Key(int number, const std::string& from, const std::string& until = {}) {
    std::string text = R"(,"key":)" + std::to_string(number) +
                       R"(,"src":"192.0.2.1","dst":"192.0.2.2","spi":"0x00001000","proto":50)"
                       R"(,"reqid":7,"direction":"out","holder":"nic0","kind":"device")"
                       R"(,"identity":"","from":"2026-11-)" +
                       from + R"(:00.000Z")";
    if (!until.empty()) {
      text += R"(,"until":"2026-11-)" + until + R"(:00.000Z","erased":true,"note":"")";
    }
    return text;
  }
  void Write(const std::string& file) {
    std::ofstream(file) << text_;
    text_.clear();
  }
  struct Outcome {
    int status = 0;
    std::string out;
    std::string err;
  };
  static Outcome Run(std::vector<const char*> words) {
    char* text[2] = {};
    std::size_t size[2] = {};
    FILE* out = open_memstream(&text[0], &size[0]);
    FILE* err = open_memstream(&text[1], &size[1]);
    Outcome outcome;
    const auto nobody = []() -> Result<OperatorClient> {
      return MakeError(Errc::kNoEntry, "no cygnetd here");
    };
    words.insert(words.begin(), "cygnet");
    std::vector<char*> argv;
    for (const char* word : words) argv.push_back(const_cast<char*>(word));
    outcome.status = RunCygnet(static_cast<int>(argv.size()), argv.data(), nobody, out, err);
    fclose(out);
    fclose(err);
    outcome.out = text[0];
    outcome.err = text[1];
    for (char* buffer : text) std::free(buffer);
    return outcome;
  }

  std::string folder_;
  std::string file_;
  std::string host_ = "gw1";
  ChainHead head_;
  std::string text_;
};

TEST_F(LedgerCommandTest, WrongWordsAreNamed) {
  const std::pair<std::vector<const char*>, const char*> cases[] = {
      {{"ledger", "verify", "--key", "12"}, "is not a public key"},
      {{"ledger", "verify", "--head", "12"}, "is not HASH@RECORD"},
      {{"ledger", "verify", "--haed"}, "unknown option \"--haed\"; did you mean \"--head\"?"},
      {{"ledger", "report", "--from", "yesterday"}, "is not a time in UTC"},
      {{"ledger", "report", "--from", "2026-11-28", "--to", "2026-11-27"}, "is later than --to"},
      {{"ledger", "key", "x"}, "ledger key: unknown keyword \"x\""},
  };
  for (const auto& [words, text] : cases) {
    const Outcome outcome = Run(words);
    EXPECT_EQ(outcome.status, kExitUsage) << text;
    EXPECT_THAT(outcome.err, HasSubstr(text));
  }
}

TEST_F(LedgerCommandTest, WithoutADaemonFilesMustBeNamed) {
  EXPECT_THAT(Run({"ledger", "verify"}).err, HasSubstr("name the files of a ledger"));
  const Outcome missing = Run({"ledger", "verify", "/nonexistent/ledger"});
  EXPECT_EQ(missing.status, kExitFailed);
  EXPECT_THAT(missing.err, HasSubstr("/nonexistent/ledger: No such file"));
}

TEST_F(LedgerCommandTest, FullFilesComeWithTheirLedgerInTheirOrder) {
  Add("28T10:00", "start");
  Add("28T11:00", "placement");
  Write(file_ + ".2");
  Add("28T12:00", "placement");
  Write(file_ + ".1");
  Add("28T12:30", "stop");
  Write(file_);
  std::ofstream(file_ + ".lock") << "note";
  const Outcome one = Run({"ledger", "verify", file_.c_str()});
  EXPECT_THAT(one.out, HasSubstr("records 1 to 4 of gw1"));
  const std::string full = file_ + ".2";
  const std::string lock = file_ + ".lock";
  EXPECT_EQ(Run({"ledger", "verify", file_.c_str(), full.c_str(), lock.c_str()}).out, one.out);
  EXPECT_EQ(one.status, kExitNo);
  EXPECT_THAT(one.out, HasSubstr("no head is signed"));
}

TEST_F(LedgerCommandTest, TheReportSaysWhoHeldWhichKeyAndWhatIsNotKnown) {
  Add("28T10:00", "start");
  Add("28T10:10", "key-given", Key(1, "28T10:10"));
  Add("28T10:20", "key-given", Key(2, "28T10:20"));
  Add("28T10:30", "key-ended", Key(1, "28T10:10", "28T10:30"));
  Add("28T11:00", "start");
  Add("28T11:30", "key-given", Key(1, "28T11:30"));
  Write(file_);
  const std::string all = Run({"ledger", "report", file_.c_str()}).out;
  EXPECT_THAT(all, HasSubstr("device nic0 on gw1"));
  EXPECT_THAT(all, HasSubstr("2026-11-28T10:10:00.000Z to 2026-11-28T10:30:00.000Z, out 192.0.2.1 "
                             "> 192.0.2.2 esp spi 0x00001000: erased"));
  EXPECT_THAT(all, HasSubstr("2026-11-28T10:20:00.000Z to unknown"));
  EXPECT_THAT(all, HasSubstr("it began again at 2026-11-28T11:00:00.000Z"));
  EXPECT_THAT(all, HasSubstr("gap: "));
  EXPECT_THAT(all, HasSubstr("held when the ledger ends"));
  const std::string early =
      Run({"ledger", "report", file_.c_str(), "--to", "2026-11-28T10:15"}).out;
  EXPECT_THAT(early, AllOf(HasSubstr("erased"), Not(HasSubstr("T10:20"))));
  EXPECT_THAT(Run({"ledger", "report", file_.c_str(), "dev", "nic1"}).out,
              HasSubstr("no key was held in this time"));
}

TEST_F(LedgerCommandTest, LedgersOfSeveralNodesAreOneReport) {
  const std::string group = R"(,"cluster":"c","group":"blue","node":")";
  const std::string rest = R"(","incarnation":"01","epoch":)";
  Add("28T10:00", "group-gained", group + "a" + rest + R"(1,"explanation":"started")");
  Add("28T12:00", "group-lost", group + "a" + rest + R"(1,"explanation":"moved")");
  Write(file_);
  host_ = "gw2";
  head_ = {};
  Add("28T12:01", "group-gained", group + "b" + rest + R"(2,"explanation":"moved")");
  Add("28T12:10", "key-given", Key(1, "28T12:10"));
  const std::string other = folder_ + "/other.jsonl";
  Write(other);
  const Outcome both = Run({"-j", "ledger", "report", other.c_str(), file_.c_str()});
  const auto json = nlohmann::json::parse(both.out);
  ASSERT_EQ(json["groups"].size(), 3u);
  EXPECT_EQ(json["groups"][0]["node"], "a");
  EXPECT_EQ(json["groups"][2]["node"], "b");
  EXPECT_EQ(json["groups"][2]["epoch"], 2);
  ASSERT_EQ(json["keys"].size(), 1u);
  EXPECT_EQ(json["keys"][0]["host"], "gw2");
  EXPECT_EQ(json["ledgers"].size(), 2u);
}

// A pipe beside the file would be waited for.
TEST_F(LedgerCommandTest, OnlyFilesBesideAreRead) {
  Add("28T10:00", "start");
  Write(file_);
  ASSERT_EQ(mkfifo((file_ + ".1").c_str(), 0600), 0);
  const Outcome outcome = Run({"ledger", "verify", file_.c_str()});
  EXPECT_THAT(outcome.out, HasSubstr("records 1 to 1 of "));
}

}  // namespace
}  // namespace cygnet
