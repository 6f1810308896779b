// LedgerFile: the ledger on disk, an append-only file with a line for each event (ledger_line.h).
// It survives a restart and is bounded: a full file is renamed NAME.1 (NAME.1 becomes NAME.2 …),
// the oldest is deleted, and the new one begins with the keys that are held then.
//
// The line for a handed-out key is written before the holder gets the key, so that it is there
// however the process ends. If it cannot be written, the key is not handed out. If somebody
// deletes, replaces or truncates the file while the daemon runs, the daemon restores it from all
// that is still readable. With LedgerSync::kKey such a line also survives a power loss; otherwise
// it reaches the disk within about a second. All other lines may wait for that second.
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

// When the line for a handed-out key reaches the disk itself.
enum class LedgerSync : uint8_t {
  kSecond,  // within a second
  kKey,     // before the key is handed out
};

struct LedgerFileOptions {
  std::string path;
  uint64_t max_bytes = 16u << 20;  // of one file
  uint32_t keep = 4;               // number of full files kept
  LedgerSync sync = LedgerSync::kSecond;
  LedgerStamp stamp = StampOfThisHost();
};

class LedgerFile final : public LedgerSink {
 public:
  // Opens and locks the file, and restores `ledger` from it and the older files. Keys that had not
  // ended in an earlier run end now, with a note. Errc::kBusy: another cygnetd writes it. A full
  // disk is not an error: error() reports it, and no key is handed out until there is room.
  static Result<std::unique_ptr<LedgerFile>> Open(const LedgerFileOptions& options, Ledger* ledger,
                                                  const Clock* clock);
  ~LedgerFile() override;

  void OnPlacement(const PlacementEntry& entry) override;
  Status OnKeyGiven(uint64_t number, const KeyEntry& entry) override;
  void OnKeyEnded(uint64_t number, const KeyEntry& entry) override;

  // Writes everything to the disk. Call it about once a second: it retries after a full disk, which
  // it reports once.
  void Sync();
  const std::string& path() const { return options_.path; }
  const std::string& error() const { return error_; }
  // What others did to the file or its lock in this run; empty: nothing.
  const std::string& mishaps() const { return mishaps_.text(); }

  // A group of a cluster came to this process, or went. Sets `line.time_ms`.
  void GroupChanged(LedgerGroupLine line);

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
  bool refused_ = false;  // Guard refused
  Mishaps mishaps_{"ledger"};
  uint64_t size_ = 0;
  uint64_t base_ = 0;   // bytes of the held keys at the beginning of the file
  bool dirty_ = false;  // since the last sync
  std::string pending_;
  uint64_t pending_lines_ = 0;
  std::string error_;
};

}  // namespace cygnet
