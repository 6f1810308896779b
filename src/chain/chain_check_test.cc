#include "chain/chain_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "chain/head_key.h"

namespace cygnet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Lines as the daemon writes them: a start, a signed head, placements, and a head at the end.
class ChainCheckTest : public ::testing::Test {
 protected:
  ChainCheckTest() {
    char folder[] = "/tmp/cygnet-check-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    key_.emplace(*HeadKey::Open(folder_ + "/key"));
    Add("start");
    AddHead("start");
    for (int i = 0; i < 5; ++i) Add("placement");
    Add("stop");
    AddHead("stop");
  }
  ~ChainCheckTest() override {
    (void)unlink((folder_ + "/key").c_str());
    (void)unlink((folder_ + "/other").c_str());
    (void)rmdir(folder_.c_str());
  }

  std::string Open(const std::string& event, const std::string& more = {}) const {
    return R"({"time":")" + time_ + R"(","host":")" + host_ + R"(","boot":"b","event":")" + event +
           "\"" + more;
  }
  void Add(const std::string& event, const std::string& more = {}) {
    lines_.push_back(Linked(WithChecksum(Open(event, more)), &head_));
  }
  void AddHead(const std::string& why) {
    const std::string of = std::to_string(head_.number);
    const std::string hash = HexText(head_.hash);
    const auto signature =
        key_->Sign(SignedText({.host = host_, .time = time_, .why = why, .of = of, .hash = hash}));
    Add("head", R"(,"why":")" + why + R"(","of":)" + of + R"(,"head":")" + hash + R"(","key":")" +
                    key_->public_text() + R"(","signature":")" +
                    HexText(signature->data(), signature->size()) + "\"");
  }
  std::string Text(std::size_t from = 0) const {
    std::string text;
    for (std::size_t i = from; i < lines_.size(); ++i) text += lines_[i] + "\n";
    return text;
  }
  static std::vector<std::string> TextsOf(const std::vector<ChainFinding>& findings) {
    std::vector<std::string> texts;
    for (const ChainFinding& row : findings) {
      texts.push_back(std::to_string(row.line) + ": " + row.text);
    }
    return texts;
  }
  // "LINE: problem" of each.
  std::vector<std::string> Problems() {
    ChainCheck check(keys_);
    for (const ChainHead& head : expected_) check.Expect(head);
    check.Take("file", Text());
    check.Finish();
    notes_ = TextsOf(check.verdict().notes);
    return TextsOf(check.verdict().problems);
  }

  std::string folder_;
  std::optional<HeadKey> key_;
  std::string host_ = "gw1";
  std::string time_ = "2026-11-28T17:58:14.123Z";
  ChainHead head_;
  std::vector<std::string> lines_;
  std::vector<std::string> keys_;
  std::vector<ChainHead> expected_;
  std::vector<std::string> notes_;
};

TEST_F(ChainCheckTest, AWholeChainHasNoProblem) {
  keys_ = {key_->public_text()};
  expected_ = {head_};
  EXPECT_THAT(Problems(), IsEmpty());
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(ChainCheckTest, ARemovedLineIsMissing) {
  lines_.erase(lines_.begin() + 2);
  EXPECT_THAT(Problems(), ElementsAre("3: record 3 is missing before it"));
  lines_.erase(lines_.begin() + 2, lines_.begin() + 4);
  EXPECT_THAT(Problems(), ElementsAre("3: records 3 to 5 are missing before it"));
}

TEST_F(ChainCheckTest, TheFirstLinesAreMissing) {
  lines_.erase(lines_.begin(), lines_.begin() + 2);
  EXPECT_THAT(Problems(), ElementsAre("1: records 1 to 2 are missing before it"));
  lines_.erase(lines_.begin(), lines_.begin() + 6);  // only a file's first head stands for them
  EXPECT_THAT(Problems(), Contains("1: records 1 to 8 are missing before it"));
}

TEST_F(ChainCheckTest, ACutEndIsFoundByAHead) {
  expected_ = {head_};
  lines_.pop_back();
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("8: the last record is 8, but record 9 was")));
  expected_.clear();
  EXPECT_THAT(Problems(), IsEmpty()) << "nothing else shows it";
}

TEST_F(ChainCheckTest, AnUnmarkedEndIsNoted) {
  lines_.resize(5);
  EXPECT_THAT(Problems(), IsEmpty());
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("is not a stop")));
}

TEST_F(ChainCheckTest, EveryChangedBitIsFound) {
  const std::string whole = lines_[3];
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      lines_[3] = whole;
      lines_[3][at] = static_cast<char>(static_cast<uint8_t>(whole[at]) ^ (1u << bit));
      EXPECT_THAT(Problems(), testing::Not(IsEmpty())) << at << " " << bit;
    }
  }
}

TEST_F(ChainCheckTest, AChangedLineIsNamed) {
  lines_[2].replace(lines_[2].find("placement"), 5, "xxxxx");
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("3: not a whole record")));
}

TEST_F(ChainCheckTest, AChangedLineWithANewChecksumIsNamed) {
  std::string open = lines_[2].substr(0, lines_[2].rfind(",\"crc\""));
  open.replace(open.find("placement"), 5, "xxxxx");
  lines_[2] = WithChecksum(open);
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("3: record 3 does not follow record 2")));
}

TEST_F(ChainCheckTest, AChainMadeAnewIsFoundByItsHeads) {
  const std::vector<std::string> old = lines_;
  lines_.resize(2);
  head_ = FindLink(lines_[1])->head;
  for (int i = 0; i < 5; ++i) Add("key-ended");
  Add("stop");
  for (std::size_t i = 8; i < old.size(); ++i) {
    lines_.push_back(Linked(WithChecksum(old[i].substr(0, old[i].rfind(",\"n\":"))), &head_));
  }
  EXPECT_THAT(Problems(), ElementsAre("9: this head is of other records"));
}

TEST_F(ChainCheckTest, MovedAndRepeatedLinesAreNamed) {
  std::swap(lines_[2], lines_[3]);
  EXPECT_THAT(Problems(), ElementsAre("3: record 3 is missing before it",
                                      HasSubstr("4: record 3 stands behind record 4")));
  std::swap(lines_[2], lines_[3]);
  lines_.insert(lines_.begin() + 4, lines_[3]);
  EXPECT_THAT(Problems(), ElementsAre("5: record 4 stands here twice"));
}

TEST_F(ChainCheckTest, LinesOfAnotherHostAreNamed) {
  const std::vector<std::string> ours = lines_;
  const ChainHead our_head = head_;
  lines_.clear();
  head_ = {};
  host_ = "gw2";
  for (int i = 0; i < 4; ++i) Add("placement");
  std::vector<std::string> spliced(ours.begin(), ours.begin() + 3);
  spliced.push_back(lines_[3]);
  spliced.insert(spliced.end(), ours.begin() + 4, ours.end());
  lines_ = spliced;
  expected_ = {our_head};
  EXPECT_THAT(Problems(), Contains(HasSubstr("4: record 4 does not follow record 3")));
  EXPECT_THAT(Problems(), Contains(HasSubstr("it is of host gw2")));
}

TEST_F(ChainCheckTest, AForeignLineIsNamed) {
  lines_.insert(lines_.begin() + 2, R"({"event":"placement"})");
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("3: a line without a link behind record 2")));
  lines_[2] = "rubbish";
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("3: not a whole record")));
}

TEST_F(ChainCheckTest, AHeadOfAnotherKeyIsNamed) {
  key_.emplace(*HeadKey::Open(folder_ + "/other"));
  Add("start");
  AddHead("start");
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("11: heads are signed by another key")));
  keys_ = {std::string(64, '0')};
  EXPECT_THAT(Problems(), Contains(HasSubstr("no head is signed by the key")));
}

TEST_F(ChainCheckTest, AForgedSignatureIsNamed) {
  lines_.resize(8);
  head_ = FindLink(lines_.back())->head;
  Add("head", R"(,"why":"stop","of":8,"head":")" + HexText(head_.hash) + R"(","key":")" +
                  key_->public_text() + R"(","signature":")" + std::string(128, '0') + "\"");
  EXPECT_THAT(Problems(), ElementsAre("9: the signature of this head does not hold"));
}

// By somebody who has not got the key, behind the last head.
TEST_F(ChainCheckTest, RecordsBehindAnOldHeadAreNamed) {
  Add("start");
  AddHead("start");
  for (const char* time : {"18:40", "19:20", "20:00", "20:40"}) {
    time_ = std::string("2026-11-28T") + time + ":00.000Z";
    Add("key-given");
  }
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("15: no signed head for 2 h 41 min")));
  for (std::size_t i = 11; i < lines_.size(); ++i) {
    head_ = FindLink(lines_[i - 1])->head;
    std::string open = lines_[i].substr(0, lines_[i].rfind(",\"n\":"));
    open.replace(open.find("key-given"), 9, "key-ended");
    lines_[i] = Linked(WithChecksum(open), &head_);
  }
  EXPECT_THAT(Problems(), IsEmpty()) << "the file could not be written";
  EXPECT_THAT(notes_, Contains(HasSubstr("15: no signed head for 2 h 41 min")));
}

TEST_F(ChainCheckTest, AnHourlyHeadIsEnough) {
  Add("start");
  AddHead("start");
  for (const char* time : {"18", "19", "20", "21", "22"}) {
    time_ = std::string("2026-11-28T") + time + ":58:15.000Z";
    AddHead("hour");
    Add("key-given");
  }
  time_ = "2027-01-01T00:00:00.000Z";  // the clock was set: no head is due
  Add("key-given");
  time_ = "2026-11-28T23:00:00.000Z";
  Add("key-given");
  EXPECT_THAT(Problems(), IsEmpty());
}

TEST_F(ChainCheckTest, AKeyInARunWithoutAHeadIsNamed) {
  Add("start");
  Add("found");
  Add("key-given");
  Add("stop");
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("12: no signed head between the start and")));
}

TEST_F(ChainCheckTest, HeadsThatAreNoLongerSignedAreNamed) {
  Add("start");
  const std::string more =
      R"(,"why":"start","of":10,"head":")" + HexText(head_.hash) + R"(","key":"","signature":"")";
  Add("head", more);
  EXPECT_THAT(Problems(), ElementsAre("11: heads are not signed from here on"));
}

// An old file whose links were taken off, so that nobody sees that it was changed.
TEST_F(ChainCheckTest, LinesWhoseLinksWereTakenAreNamed) {
  const std::size_t first = lines_.size();
  AddHead("file");
  Add("placement");
  for (std::size_t i = 0; i < first; ++i) {
    lines_[i] = WithChecksum(lines_[i].substr(0, lines_[i].rfind(",\"n\":")));
  }
  EXPECT_THAT(Problems(), Contains(HasSubstr("lines without a link stand before record 10")));
}

TEST_F(ChainCheckTest, LinesBeforeTheFirstLinkAreOlder) {
  lines_.insert(lines_.begin(), WithChecksum(Open("placement")));
  EXPECT_THAT(Problems(), IsEmpty());
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("2: 1 lines before this one are of a cygnetd")));
  lines_.resize(1);
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("no record is linked")));
}

TEST_F(ChainCheckTest, ATornLineIsNotedIfTheNextRecordTellsOfIt) {
  const std::string torn = R"({"time":"2026-11-28T17:58:14.123Z","ho)";
  lines_.push_back(torn);
  Add("repaired", R"(,"bytes":)" + std::to_string(torn.size()) + R"(,"sha256":")" +
                      HexText(Sha256(torn)) + "\"");
  EXPECT_THAT(Problems(), IsEmpty());
  EXPECT_THAT(notes_, Contains(HasSubstr("cut short by a crash")));
  lines_[lines_.size() - 2] += "x";
  EXPECT_THAT(Problems(), ElementsAre(HasSubstr("10: not a whole record behind record 9")));
}

// The crash was in a file that was full at the next start.
TEST_F(ChainCheckTest, ATornLineMayBeToldOfInTheNextFile) {
  const std::string torn = R"({"time":"2026-11-28T17:58:14.123Z","ho)";
  const std::string first = Text() + torn;
  const std::size_t begin = lines_.size();
  AddHead("file");
  Add("key-held");
  const auto check_with = [&](const std::string& told) {
    const std::vector<std::string> lines = lines_;
    const ChainHead head = head_;
    Add("repaired", R"(,"bytes":)" + std::to_string(told.size()) + R"(,"sha256":")" +
                        HexText(Sha256(told)) + "\"");
    ChainCheck check;
    check.Take("file.1", first);
    check.Take("file", Text(begin));
    check.Finish();
    lines_ = lines;
    head_ = head;
    return TextsOf(check.verdict().problems);
  };
  EXPECT_THAT(check_with(torn), IsEmpty());
  EXPECT_THAT(check_with("other"), ElementsAre(HasSubstr("10: the file ends within a record")));
}

TEST_F(ChainCheckTest, CrashesAndTimeJumpsAreNoted) {
  Add("start");
  time_ = "2026-11-28T17:00:14.123Z";
  Add("placement");
  time_ = "2026-11-28T20:10:14.123Z";
  Add("placement");
  Add("start");
  Add("stop");
  EXPECT_THAT(Problems(), IsEmpty());
  EXPECT_THAT(notes_, ElementsAre("11: the clock went back by 58 min",
                                  HasSubstr("12: no record for 3 h 10 min"),
                                  HasSubstr("13: the run before ended without a stop")));
}

TEST_F(ChainCheckTest, AFileMayBeginWithTheHeadOfThoseBefore) {
  const std::size_t first = lines_.size();
  AddHead("file");
  Add("placement");
  ChainCheck check;
  check.Take("file", Text(first));
  check.Finish();
  EXPECT_THAT(check.verdict().problems, IsEmpty());
  EXPECT_EQ(check.verdict().first, 10u);
  ChainCheck both;
  both.Take("file.1", Text().substr(0, Text().size() - Text(first).size()));
  both.Take("file", Text(first));
  both.Finish();
  EXPECT_THAT(both.verdict().problems, IsEmpty());
  EXPECT_EQ(both.verdict().first, 1u);
}

}  // namespace
}  // namespace cygnet
