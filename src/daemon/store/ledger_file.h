// LedgerFile: the ledger on disk, an append-only file with a line for each event (ledger_line.h).
// It survives a restart and is bounded: a full file is renamed NAME.1 (NAME.1 becomes NAME.2 …),
// the oldest is deleted, and the new one begins with the keys that are held then.
//
// The line for a handed-out key is written before the holder gets the key, so that it is there
// however the process ends. If it cannot be written, the key is not handed out. If somebody
// deletes, replaces or truncates the file while the daemon runs, the daemon restores it from all
// that is still readable. With LedgerSync::kKey such a line also survives a power loss; otherwise
// it reaches the disk within about a second. All other lines may wait for that second.
//
// The lines are a chain (chain/hash_chain.h), which goes on in the next file and the next run. Its
// head is signed with the host's key, PATH.key, at the start and the stop of a run, when a file
// begins, and each hour. What others did to the file is a line of it, too, as soon as it is found.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "chain/hash_chain.h"
#include "chain/head_key.h"
#include "control/ledger.h"
#include "daemon/store/kept_file.h"
#include "daemon/store/ledger_anchor.h"
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

struct LedgerPast;

// A head of the chain, as it is in the file.
struct WrittenHead {
  ChainHead head;
  std::string key{};  // that signed it; empty: none
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
  // What was wrong with the files at the start; empty: nothing.
  const std::string& found() const { return found_; }
  // The public key that signs; empty: none, and key_error() says why.
  std::string key() const { return key_ ? key_->public_text() : std::string(); }
  const std::string& key_error() const { return key_error_; }
  // Up to the last line in the file.
  const ChainHead& head() const { return chain_; }
  // Calls `listener` with each head that is written, and now with those written before.
  void SetHeadListener(std::function<void(const WrittenHead&)> listener);

  // A group of a cluster came to this process, or went. Sets `line.time_ms`.
  void GroupChanged(LedgerGroupLine line);

 private:
  LedgerFile(LedgerFileOptions options, Ledger* ledger, const Clock* clock)
      : options_(std::move(options)),
        ledger_(ledger),
        clock_(clock),
        anchor_(options_.stamp.boot, &lock_) {}
  void OpenKey();
  void TellPast(const LedgerPast& past);
  void SignHead(HeadReason why);
  bool HeadIsDue() const { return clock_->MonotonicNs() >= head_due_ns_; }
  std::string HeadLine(HeadReason why) const;
  void HeadWritten(const ChainHead& head);
  Status Guard();
  std::string Changed() const;
  Status Remake();
  std::string HeldText() const;
  Status OpenForAppend();
  LedgerPast Restore();
  void Append(std::string line);
  void AppendFound(const std::string& what);
  Status WriteLinked(std::string_view lines);
  Status Write(std::string_view text);
  void TakeBack(std::string_view written);
  // `last`: a line that is not kept for later if it cannot be written.
  Status Flush(std::string_view last = {});
  Status Rotate();
  void Hold(UniqueFd fd);
  void Fail(const std::string& error);

  const LedgerFileOptions options_;
  Ledger* const ledger_;
  const Clock* const clock_;
  UniqueFd fd_;
  FileIdentity identity_;  // of fd_
  WriterLock lock_;
  LedgerAnchor anchor_;
  std::optional<HeadKey> key_;
  std::string key_error_;
  std::string found_;
  ChainHead chain_;
  uint64_t head_due_ns_ = 0;  // when the next head is to be written
  std::vector<WrittenHead> untold_;
  std::function<void(const WrittenHead&)> on_head_;
  bool refused_ = false;  // Guard refused
  Mishaps mishaps_{"ledger"};
  uint64_t size_ = 0;
  uint64_t base_ = 0;    // bytes of the held keys at the beginning of the file
  bool dirty_ = false;   // since the last sync
  std::string pending_;  // not linked yet
  uint64_t pending_lines_ = 0;
  std::string error_;
};

}  // namespace cygnet
