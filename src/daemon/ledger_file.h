// LedgerFile: the ledger on disk, one JSON object a line, only ever appended to. It survives a
// restart and is bounded: a file that is full is renamed NAME.1 (NAME.1 becomes NAME.2 …), the
// oldest goes, and the new one begins with the keys that are held then. No key material.
//
//   {"t": 1790000000, "run": "…", "event": "start" | "stop"}
//   {"t": …, "event": "placement", half…, "requested", "requested_by", "effective", "where",
//    "reason", "explanation"}
//   {"t": …, "event": "key-given" | "key-ended" | "key-held", "key": 7, half…, "holder", "kind",
//    "identity", "from", ["until", "erased", "note"]}
//   {"t": …, "event": "lost", "lines": 7}   that many lines could not be written here
//   half: "src", "dst", "family" (4 or 6), "spi" ("0x00001000"), "proto", "reqid",
//    "direction" ("in", "out")
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "base/unique_fd.h"
#include "control/ledger.h"

namespace cygnet {

struct LedgerFileOptions {
  std::string path;
  uint64_t max_bytes = 16u << 20;  // of one file
  uint32_t keep = 4;               // full files that are kept
};

// What a line says. A key event carries the number that ties it to its end.
struct LedgerKeyLine {
  uint64_t number = 0;
  KeyEntry entry;
};
struct LedgerRunLine {
  uint64_t time = 0;
  bool start = false;
};
using LedgerLine = std::variant<LedgerRunLine, PlacementEntry, LedgerKeyLine>;

inline constexpr std::size_t kMaxLedgerLine = 4096;

// The file is an operator's to damage: every field is checked. nullopt: not a line of ours, or
// longer than kMaxLedgerLine.
std::optional<LedgerLine> ParseLedgerLine(std::string_view line);
// Without the line's end.
std::string LedgerLineText(const LedgerLine& line);

class LedgerFile final : public LedgerSink {
 public:
  // Opens and locks the file, and gives `ledger` what is in it and the files before it. Keys that
  // had not ended in an earlier run end now, with a note. Errc::kBusy: another cygnetd writes it.
  static Result<std::unique_ptr<LedgerFile>> Open(const LedgerFileOptions& options, Ledger* ledger,
                                                  const Clock* clock);
  ~LedgerFile() override;

  void OnPlacement(const PlacementEntry& entry) override;
  void OnKey(uint64_t number, const KeyEntry& entry) override;

  // About once a second: what was written reaches the disk. A full disk is said once, and tried
  // again.
  void Sync();
  const std::string& path() const { return options_.path; }
  const std::string& error() const { return error_; }

 private:
  LedgerFile(LedgerFileOptions options, Ledger* ledger, const Clock* clock)
      : options_(std::move(options)), ledger_(ledger), clock_(clock) {}
  Status OpenForAppend();
  void Restore();
  void RestoreFile(const std::string& path, std::map<uint64_t, KeyEntry>* held);
  void Append(std::string line);
  void Flush();
  void Rotate();
  void Fail(const std::string& error);

  const LedgerFileOptions options_;
  Ledger* const ledger_;
  const Clock* const clock_;
  UniqueFd fd_;
  UniqueFd lock_;
  uint64_t size_ = 0;
  uint64_t base_ = 0;   // of the held keys that the file began with
  bool dirty_ = false;  // since the last sync
  std::string pending_;
  std::string error_;
};

}  // namespace cygnet
