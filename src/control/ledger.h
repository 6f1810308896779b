// Ledger: records where each half of each SA ran and why, and every key that a device or engine
// received, with its end. Its sinks (a file, the audit trail) get it append-only; what it keeps in
// memory is bounded. Never sees a key. Control thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/numbered_map.h"
#include "base/result.h"
#include "control/placement/report.h"
#include "control/short_half.h"

namespace cygnet {

class LedgerSink {
 public:
  virtual ~LedgerSink() = default;
  virtual void OnPlacement(const PlacementEntry& entry) = 0;
  // Called before the holder gets the key. On an error it must not get it. `number` links this to
  // the key's end.
  virtual Status OnKeyGiven(uint64_t number, const KeyEntry& entry) = 0;
  virtual void OnKeyEnded(uint64_t number, const KeyEntry& entry) = 0;
};

class Ledger {
 public:
  static constexpr std::size_t kMaxPlacements = 20'000;
  static constexpr std::size_t kMaxEndedKeys = 20'000;

  explicit Ledger(const Clock* clock) : clock_(clock) {}

  // The sink must outlive the ledger. It receives later entries only, not earlier ones.
  void AddSink(LedgerSink* sink) { sinks_.push_back(sink); }

  // Sets `entry.time_ms`.
  void Placed(PlacementEntry& entry);
  void Placed(PlacementEntry&& entry) { Placed(entry); }
  // Call before the key is given. `kind`: "device" or "engine". Returns the number for KeyEnded.
  // Error: a sink could not record it, and the key must not be given. Sinks are called in the order
  // in which they were added.
  Result<uint64_t> KeyGiven(const SaHalf& half, std::string_view holder, std::string_view kind,
                            std::string_view identity);
  // `note`: how it ended, if not by an erasure.
  void KeyEnded(uint64_t number, bool erased, std::string_view note = {});

  // Entries of earlier runs, oldest first, before any other call. A key that had not ended ends
  // now: the process that knew about it no longer exists.
  void Restore(const PlacementEntry& entry);
  void Restore(const KeyEntry& entry);

  // The file that a sink writes, and the error that prevents it; for reports.
  void NoteFile(std::string file, std::string error) {
    file_ = std::move(file);
    write_error_ = std::move(error);
  }

  LedgerReport Report(const LedgerQuery& query) const;
  // Keys that are held now, for a new file.
  std::vector<std::pair<uint64_t, KeyEntry>> HeldKeys() const;

 private:
  struct Holder {
    std::string name;
    std::string kind;
    std::string identity;
  };
  struct Key {
    SaHalf half;
    uint32_t holder = 0;  // index in holders_
    bool erased = false;
    uint64_t from_ms = 0;
    uint64_t until_ms = 0;
    std::string note;
  };
  // A key that is held now. There may be many.
  struct Held {
    uint64_t from_ms = 0;
    ShortHalf half;
    uint32_t holder = 0;
  };
  static_assert(sizeof(Held) == 32);
  struct Placement {
    uint64_t time_ms = 0;
    ShortHalf half;
    uint32_t words = 0;  // index in words_
  };
  static_assert(sizeof(Placement) == 32);
  // What many entries have in common.
  struct Words {
    PlacementEntry entry;     // time and half are of one of them
    uint32_t placements = 0;  // that have them; 0: free
  };
  static constexpr std::size_t kRecentWords = 16;
  uint32_t Shared(const PlacementEntry& entry);
  PlacementEntry EntryOf(const Placement& placement) const;
  uint32_t HolderNumber(std::string_view name, std::string_view kind, std::string_view identity);
  const KeyEntry& Shown(const Key& key);
  KeyEntry EntryOf(const Key& key) const;
  static Key KeyOf(const Held& key);
  void KeepEnded(Key key);

  const Clock* const clock_;
  std::vector<LedgerSink*> sinks_;
  std::vector<Holder> holders_;
  // What the sinks get. Entries in a row mostly differ in a few words, and memory for each of the
  // others would cost more than the entry.
  KeyEntry shown_;
  std::optional<uint32_t> shown_holder_;  // whose words `shown_` has
  std::deque<Placement> placements_;
  std::deque<Words> words_;
  std::vector<uint32_t> free_words_;
  std::deque<uint32_t> recent_;  // of words_, newest first
  std::deque<Key> ended_;
  NumberedMap<Held> held_;
  uint64_t next_number_ = 1;
  uint64_t dropped_ = 0;
  std::string file_;
  std::string write_error_;
};

}  // namespace cygnet
