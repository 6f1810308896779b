// LedgerFile: the ledger on disk, a line for each event (daemon/ledger_line.h), only ever appended
// to. It survives a restart and is bounded: a file that is full is renamed NAME.1 (NAME.1 becomes
// NAME.2 …), the oldest goes, and the new one begins with the keys that are held then.
//
// That a key is given is written before its holder has it: whatever ends the process, the line is
// there. Where it cannot be written, the key is not given. A file that somebody deletes, replaces
// or cuts short while the daemon runs is made anew with all that can still be read of it. Against
// the loss of power it holds with LedgerSync::kKey; else what is written reaches the disk within a
// second or so. Other lines may wait for that second, too.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "control/ledger.h"
#include "daemon/store/kept_file.h"
#include "daemon/store/ledger_line.h"

namespace cygnet {

// When lines that say that a key is given reach the disk itself.
enum class LedgerSync : uint8_t {
  kSecond,  // within a second
  kKey,     // before it is given
};

struct LedgerFileOptions {
  std::string path;
  uint64_t max_bytes = 16u << 20;  // of one file
  uint32_t keep = 4;               // full files that are kept
  LedgerSync sync = LedgerSync::kSecond;
  LedgerStamp stamp = StampOfThisHost();
};

class LedgerFile final : public LedgerSink {
 public:
  // Opens and locks the file, and gives `ledger` what is in it and the files before it. Keys that
  // had not ended in an earlier run end now, with a note. Errc::kBusy: another cygnetd writes it. A
  // disk that is full is no error: error() says so, and no key is given until there is room.
  static Result<std::unique_ptr<LedgerFile>> Open(const LedgerFileOptions& options, Ledger* ledger,
                                                  const Clock* clock);
  ~LedgerFile() override;

  void OnPlacement(const PlacementEntry& entry) override;
  Status OnKeyGiven(uint64_t number, const KeyEntry& entry) override;
  void OnKeyEnded(uint64_t number, const KeyEntry& entry) override;

  // About once a second: what was written reaches the disk. A full disk is said once, and tried
  // again.
  void Sync();
  const std::string& path() const { return options_.path; }
  const std::string& error() const { return error_; }
  // What others did to the file or its lock in this run; empty: nothing.
  const std::string& mishaps() const { return mishaps_.text(); }

 private:
  LedgerFile(LedgerFileOptions options, Ledger* ledger, const Clock* clock)
      : options_(std::move(options)), ledger_(ledger), clock_(clock) {}
  Status Guard();
  Status Remake();
  std::string HeldText() const;
  Status OpenForAppend();
  void Restore();
  void RestoreFile(const std::string& path, std::map<uint64_t, KeyEntry>* held);
  void EndHeld(std::map<uint64_t, KeyEntry>* held, uint64_t time_ms);
  void Append(std::string line);
  Status Write(std::string_view text);
  Status Flush();
  Status Rotate();
  void Fail(const std::string& error);

  const LedgerFileOptions options_;
  Ledger* const ledger_;
  const Clock* const clock_;
  UniqueFd fd_;
  WriterLock lock_;
  bool refused_ = false;  // by Guard
  Mishaps mishaps_{"ledger"};
  uint64_t size_ = 0;
  uint64_t base_ = 0;   // of the held keys that the file began with
  bool dirty_ = false;  // since the last sync
  std::string pending_;
  uint64_t pending_lines_ = 0;
  std::string error_;
};

}  // namespace cygnet
