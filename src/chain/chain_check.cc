#include "chain/chain_check.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "chain/chain_record.h"
#include "chain/head_key.h"
#include "chain/utc_time.h"

namespace cygnet {
namespace {

using Json = nlohmann::json;

// A head comes every hour.
constexpr uint64_t kLongestSilenceMs = 3'900'000;
constexpr uint64_t kClockSlackMs = 2'000;
// So long may records be behind a signed head: a step of the clock that is too short to be noted
// may lie between them.
constexpr uint64_t kLongestUnsignedMs = 2 * kLongestSilenceMs;

std::string Word(const Json& json, const char* field) {
  const auto found = json.find(field);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

uint64_t Count(const Json& json, const char* field) {
  const auto found = json.find(field);
  return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

Json Parsed(std::string_view line) {
  Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json::object();
}

std::string Number(uint64_t number) { return std::to_string(number); }

}  // namespace

std::string MissingText(uint64_t first, uint64_t last) {
  return first == last
             ? "record " + Number(first) + " is missing before it"
             : "records " + Number(first) + " to " + Number(last) + " are missing before it";
}

std::string OtherKeyText(const std::string& key) {
  return "heads are signed by another key from here on: " + key;
}

void ChainCheck::ComplainAt(const std::string& file, std::size_t line, std::string text) {
  if (verdict_.problems.size() >= kMaxFindings) {
    ++verdict_.more_problems;
    return;
  }
  verdict_.problems.push_back({.file = file, .line = line, .text = std::move(text)});
}

void ChainCheck::Note(std::string text) {
  if (verdict_.notes.size() >= kMaxFindings) return;
  verdict_.notes.push_back({.file = file_, .line = line_, .text = std::move(text)});
}

void ChainCheck::Take(const std::string& file, std::string_view text) {
  file_ = file;
  line_ = 0;
  file_begins_ = true;
  torn_tail_.clear();
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const bool ended = end < text.size();
    ++line_;
    if (end > 0) TakeLine(text.substr(0, end), ended);
    text.remove_prefix(ended ? end + 1 : end);
  }
}

void ChainCheck::TakeLine(std::string_view line, bool ended) {
  const Checksum checksum = ChecksumOf(line);
  const auto link = FindLink(line);
  if (link && checksum == Checksum::kRight) return TakeLink(line, *link);
  const bool whole = checksum != Checksum::kWrong && line.front() == '{' && line.back() == '}';
  if (!whole) return TakeBroken(line, link, ended);
  if (!head_) {
    ++verdict_.older;
  } else {
    Complain("a line without a link behind record " + Number(head_->number) +
             ": cygnetd did not write it here");
  }
}

void ChainCheck::TakeBroken(std::string_view line, const std::optional<LineLink>& link,
                            bool ended) {
  if (!ended) torn_tail_ = line;
  if (!head_ && !link) {
    ++verdict_.older;  // nothing protects the lines before the chain
  }
  SettleBroken({});
  broken_ = {.file = file_,
             .line = line_,
             .bytes = line.size(),
             .after = head().number,
             .hash = Sha256(line),
             .ended = ended};
  // What follows is linked to the record as it was, which its own link still names.
  if (link && head_ && link->head.number == head_->number + 1) head_ = link->head;
}

// `repaired`: the record that follows, if it tells of a line that a crash cut short.
void ChainCheck::SettleBroken(std::string_view repaired) {
  if (!broken_) return;
  const Broken broken = *std::exchange(broken_, std::nullopt);
  const Json json = repaired.empty() ? Json::object() : Parsed(repaired);
  if (Count(json, "bytes") == broken.bytes && Word(json, "sha256") == HexText(broken.hash)) {
    return Note("the line before was cut short by a crash; cygnetd noted that at its next start");
  }
  if (!head_) return;
  ComplainAt(broken.file, broken.line,
             broken.ended ? "not a whole record behind record " + Number(broken.after) +
                                ": it was changed or cut"
                          : "the file ends within a record: it was cut, or cygnetd was killed "
                            "there and has not started since");
}

void ChainCheck::TakeLink(std::string_view line, const LineLink& link) {
  const RecordStart record = ReadRecordStart(line);
  if (!head_) BeginWith(link, record);
  // The record that tells of a cut line may be in the next file, behind what that one begins with.
  const bool begins = record.event == "head" || record.event == "key-held";
  const bool may_be_told = begins && broken_ && !broken_->ended && broken_->file != file_;
  if (!may_be_told) SettleBroken(record.event == "repaired" ? line : std::string_view());
  if (!Follows(link, record)) return;
  ++verdict_.linked;
  if (verdict_.first == 0) verdict_.first = link.head.number;
  TakeEvent(line, link, record);
  verdict_.last = link.head.number;
  verdict_.host = std::string(record.host);
  file_begins_ = false;
  head_ = link.head;
  Meet(link.head);
}

// A file may begin with the head of the files before, which are not here.
void ChainCheck::BeginWith(const LineLink& link, const RecordStart& record) {
  if (verdict_.older > 0) {
    Note(Number(verdict_.older) +
         " lines before this one are of a cygnetd that linked none: nothing shows whether they "
         "were changed");
    // Such a cygnetd wrote before the chain began.
    if (link.head.number != 1) {
      Complain("lines without a link stand before record " + Number(link.head.number) +
               ": somebody took their links, or put them in");
    }
  }
  head_ = ChainHead{};
  if (link.head.number == 1 || record.event != "head" || !file_begins_) return;
  const Json head = Parsed(std::string(link.covered) + "}");
  ChainHead before{.number = Count(head, "of"), .hash = {}};
  if (Word(head, "why") != "file" ||
      !ReadHex(Word(head, "head"), before.hash.data(), before.hash.size())) {
    return;
  }
  head_ = before;
  Note("records 1 to " + Number(before.number) + " are in older files, which are not here");
}

// False: the record has no place here.
bool ChainCheck::Follows(const LineLink& link, const RecordStart& record) {
  const uint64_t number = link.head.number;
  const std::string name = "record " + Number(number);
  const bool other_host = !verdict_.host.empty() && record.host != verdict_.host;
  const std::string host = other_host ? "; it is of host " + std::string(record.host) : "";
  if (number <= head_->number) {
    Complain(name + (link.head == *head_ ? " stands here twice"
                                         : " stands behind record " + Number(head_->number) +
                                               ": repeated, moved, or of another ledger" + host));
    return false;
  }
  if (number > head_->number + 1) {
    Complain(MissingText(head_->number + 1, number - 1) + host);
  } else if (HashBehind(head_->hash, link.covered) != link.head.hash) {
    Complain(name + " does not follow record " + Number(head_->number) +
             ": one of the two was changed, or is of another ledger" + host);
  } else if (other_host) {
    Note("from here on the host's name is " + std::string(record.host));
  }
  return true;
}

void ChainCheck::TakeEvent(std::string_view line, const LineLink& link, const RecordStart& record) {
  NoteTime(record);
  NoteUnsigned(record);
  NoteRun(record);
  if (record.event == "head") return TakeHead(line, link);
  if (record.event == "lost") {
    const uint64_t lines = Count(Parsed(line), "lines");
    verdict_.lost += lines;
    Note(Number(lines) + " records could not be written");
  } else if (record.event == "found") {
    Note("cygnetd found: " + Word(Parsed(line), "text"));
  }
}

void ChainCheck::NoteTime(const RecordStart& record) {
  const auto ms = ParseUtc(record.time);
  if (!ms) return Complain("its time cannot be read");
  if (last_ms_ != 0 && *ms + kClockSlackMs < last_ms_) {
    Note("the clock went back by " + DurationText(last_ms_ - *ms));
    signed_ms_ -= std::min(signed_ms_, last_ms_ - *ms);
  } else if (last_ms_ != 0 && running_ == true && record.event != "start" &&
             *ms > last_ms_ + kLongestSilenceMs) {
    Note("no record for " + DurationText(*ms - last_ms_) +
         " before this one, though a head is due each hour: the host slept, the clock was set, or "
         "the file could not be written");
    signed_ms_ += *ms - last_ms_;
  }
  last_ms_ = *ms;
  last_time_ = std::string(record.time);
}

// Behind the last head whoever has not got the key can write records: only for an hour.
void ChainCheck::NoteUnsigned(const RecordStart& record) {
  if (verdict_.heads == 0 || unsigned_noted_ || record.event == "head") return;
  if (record.event == "start") {
    signed_ms_ = last_ms_;  // however long the daemon did not run
    start_unsigned_ = true;
    return;
  }
  const bool late = last_ms_ > signed_ms_ + kLongestUnsignedMs;
  // The daemon signs a head that is due before it gives a key.
  const bool key = record.event == "key-given";
  if (!late && !(key && start_unsigned_)) return;
  const std::string text = late ? "no signed head for " + DurationText(last_ms_ - signed_ms_) +
                                      " before this record, though one is due each hour"
                                : std::string("no signed head between the start and this record");
  signed_ms_ = last_ms_;
  start_unsigned_ = false;
  if (key) return Complain(text + ": heads were removed, or cygnetd did not write these records");
  Note(text + ": it could not be written, or was removed");
}

void ChainCheck::NoteRun(const RecordStart& record) {
  if (record.event == "start") {
    if (running_ == true) {
      Note("the run before ended without a stop: cygnetd was killed or its host failed");
    }
    running_ = true;
  } else if (record.event == "stop") {
    running_ = false;
  } else if (!running_.has_value()) {
    running_ = true;
  }
}

void ChainCheck::TakeHead(std::string_view line, const LineLink& link) {
  const Json head = Parsed(line);
  const std::string key = Word(head, "key");
  const std::string hash = Word(head, "head");
  const uint64_t of = Count(head, "of");
  if (of + 1 != link.head.number || hash != HexText(head_->hash)) {
    // The record's own link tells whether it was changed; a head of other records did not get here
    // by cygnetd.
    return Complain("this head is of other records");
  }
  if (key.empty()) {
    if (std::exchange(unsigned_noted_, true)) return;
    // Whoever has not got the key can write such heads.
    const std::string text = "heads are not signed from here on";
    return last_key_.empty() ? Note(text) : Complain(text);
  }
  unsigned_noted_ = false;
  const std::string text = SignedText({.host = Word(head, "host"),
                                       .time = Word(head, "time"),
                                       .why = Word(head, "why"),
                                       .of = Number(of),
                                       .hash = hash});
  HeadPublicKey public_key{};
  HeadSignature signature{};
  if (!ReadHex(key, public_key.data(), public_key.size()) ||
      !ReadHex(Word(head, "signature"), signature.data(), signature.size()) ||
      !SignatureHolds(public_key, text, signature)) {
    return Complain("the signature of this head does not hold");
  }
  const bool same_key = std::exchange(last_key_, key) == key;
  if (keys_.empty()) keys_.push_back(key);
  if (std::find(keys_.begin(), keys_.end(), key) == keys_.end()) {
    if (!same_key) Complain(OtherKeyText(key));
    return;
  }
  ++verdict_.heads;
  signed_ms_ = last_ms_;
  start_unsigned_ = false;
  verdict_.head_of = of;
  verdict_.head_time = Word(head, "time");
  auto& keys = verdict_.keys;
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
}

void ChainCheck::Meet(const ChainHead& head) {
  for (Expected& row : expected_) {
    if (row.head.number != head.number || row.seen) continue;
    row.seen = true;
    if (row.head.hash == head.hash) continue;
    Complain("record " + Number(head.number) + " is not the one of that head, which has hash " +
             HexText(row.head.hash));
  }
}

void ChainCheck::FinishExpected() {
  for (const Expected& row : expected_) {
    if (row.seen || row.head.number == 0) continue;
    const std::string name = "record " + Number(row.head.number);
    if (row.head.number > verdict_.last) {
      ComplainAt(file_, line_,
                 (verdict_.last == 0 ? "no record is linked"
                                     : "the last record is " + Number(verdict_.last)) +
                     ", but " + name +
                     " was written: the end was cut off, or this is an older copy");
    } else if (row.head.number < verdict_.first) {
      Note(name + " is in an older file, which is not here");
    } else {
      ComplainAt(file_, 0, name + " is missing");
    }
  }
}

void ChainCheck::Finish() {
  SettleBroken({});
  FinishExpected();
  if (verdict_.linked == 0) {
    return ComplainAt(file_, 0,
                      "no record is linked: nothing shows whether the lines were changed");
  }
  if (verdict_.heads == 0) {
    ComplainAt(file_, 0,
               keys_.empty() ? "no head is signed: whoever wrote the file may have changed it"
                             : "no head is signed by the key that must have signed");
  }
  if (running_ == true) {
    Note("the last record of " + last_time_ +
         " is not a stop: cygnetd runs, was killed, or the end was cut off; compare with the last "
         "head in the audit trail");
  }
}

}  // namespace cygnet
