// ChainCheck: reads the files of a ledger and finds where a line was altered, removed, moved,
// repeated, or put in from elsewhere. It needs nothing but the files and, to be sure of their end,
// a head from the audit trail. The daemon uses it at its start, `cygnet ledger` on any copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chain/hash_chain.h"

namespace cygnet {

struct RecordStart;

// Something to say about a line. `line`: 0 for the file as a whole.
struct ChainFinding {
  std::string file;
  std::size_t line = 0;
  std::string text;
};

struct ChainVerdict {
  uint64_t first = 0;  // numbers of the linked records; 0: there is none
  uint64_t last = 0;
  uint64_t linked = 0;
  uint64_t older = 0;               // lines of a cygnetd that linked none
  uint64_t lost = 0;                // lines that could not be written; the daemon noted each gap
  uint64_t heads = 0;               // signed, and their signatures hold
  uint64_t head_of = 0;             // the last record that such a head covers
  std::string head_time{};          // of that head
  std::string host{};               // that wrote the last record
  std::vector<std::string> keys{};  // that signed, as hexadecimal digits
  std::vector<ChainFinding> problems{};  // the files are not what cygnetd wrote
  std::vector<ChainFinding> notes{};     // gaps that cygnetd or its host had
  uint64_t more_problems = 0;            // beyond kMaxFindings
};

class ChainCheck {
 public:
  static constexpr std::size_t kMaxFindings = 1000;

  // `keys`: the public keys that may sign, as hexadecimal digits; empty: the first that does.
  explicit ChainCheck(std::vector<std::string> keys = {}) : keys_(std::move(keys)) {}
  // The record with this number must have this hash. Call it before Take.
  void Expect(const ChainHead& head) { expected_.push_back({.head = head, .seen = false}); }

  // The files in the order of their records.
  void Take(const std::string& file, std::string_view text);
  void Finish();

  const ChainVerdict& verdict() const { return verdict_; }
  // Of the last linked record, as it says itself.
  const ChainHead& head() const { return head_ ? *head_ : none_; }
  // The rest of the last file behind its last line end, if that is not a record. Before Finish.
  const std::string& torn() const { return torn_tail_; }
  // That signed the last head, whoever may sign.
  const std::string& last_key() const { return last_key_; }

 private:
  struct Expected {
    ChainHead head;
    bool seen = false;
  };
  // A line that is not whole, until the next record tells why.
  struct Broken {
    std::string file;
    std::size_t line = 0;
    std::size_t bytes = 0;
    uint64_t after = 0;  // number of the record before
    ChainHash hash{};
    bool ended = true;  // by a line feed
  };

  void TakeLine(std::string_view line, bool ended);
  void TakeBroken(std::string_view line, const std::optional<LineLink>& link, bool ended);
  void TakeLink(std::string_view line, const LineLink& link);
  void BeginWith(const LineLink& link, const RecordStart& record);
  bool Follows(const LineLink& link, const RecordStart& record);
  void TakeEvent(std::string_view line, const LineLink& link, const RecordStart& record);
  void TakeHead(std::string_view line, const LineLink& link);
  void NoteTime(const RecordStart& record);
  void NoteUnsigned(const RecordStart& record);
  void NoteRun(const RecordStart& record);
  void Meet(const ChainHead& head);
  void SettleBroken(std::string_view repaired);
  void FinishExpected();
  void Complain(std::string text) { ComplainAt(file_, line_, std::move(text)); }
  void ComplainAt(const std::string& file, std::size_t line, std::string text);
  void Note(std::string text);

  std::vector<std::string> keys_;
  const ChainHead none_{};
  ChainVerdict verdict_;
  std::vector<Expected> expected_;
  std::optional<ChainHead> head_;
  std::optional<Broken> broken_;
  std::string torn_tail_;
  std::string last_key_;
  std::string file_;
  std::size_t line_ = 0;
  bool file_begins_ = true;      // no record of this file yet
  std::optional<bool> running_;  // a run has begun and not ended; nullopt: not known
  uint64_t last_ms_ = 0;         // time of the last record
  uint64_t signed_ms_ = 0;       // of the last signed head, moved as the clock was
  bool start_unsigned_ = false;  // no head since the last start
  std::string last_time_;
  bool unsigned_noted_ = false;
};

// What the check says of a record before which these are missing, and of a head with another key
// than those before.
std::string MissingText(uint64_t first, uint64_t last);
std::string OtherKeyText(const std::string& key);

}  // namespace cygnet
