// Ledger: where each half of each SA ran and why, and every key that a device or engine was given,
// until when. Append-only in what it tells its sinks (a file, the audit trail); what it keeps in
// memory is bounded. Never sees a key. Control thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "control/placement/report.h"

namespace cygnet {

class LedgerSink {
 public:
  virtual ~LedgerSink() = default;
  virtual void OnPlacement(const PlacementEntry& entry) = 0;
  // Before the holder has the key. An error: it must not have it. `number` ties this to its end.
  virtual Status OnKeyGiven(uint64_t number, const KeyEntry& entry) = 0;
  virtual void OnKeyEnded(uint64_t number, const KeyEntry& entry) = 0;
};

class Ledger {
 public:
  static constexpr std::size_t kMaxPlacements = 20'000;
  static constexpr std::size_t kMaxEndedKeys = 20'000;

  explicit Ledger(const Clock* clock) : clock_(clock) {}

  // The sink outlives the ledger. It is told of what comes, not of what was.
  void AddSink(LedgerSink* sink) { sinks_.push_back(sink); }

  // `entry.time` is filled in.
  void Placed(PlacementEntry entry);
  // Before it is. `kind`: "device" or "engine". Returns the number for KeyEnded. An error: a sink
  // could not record it, and the key must not be given. Sinks are asked in the order they came.
  Result<uint64_t> KeyGiven(const SaHalf& half, std::string_view holder, std::string_view kind,
                            std::string_view identity);
  // `note`: how, if not by an erasure.
  void KeyEnded(uint64_t number, bool erased, std::string_view note = {});

  // Of earlier runs, oldest first, before anything else. A key that had not ended does now: the
  // process that knew of it is gone.
  void Restore(PlacementEntry entry);
  void Restore(const KeyEntry& entry);

  // Where a sink keeps it, and what keeps it from that; for reports.
  void NoteFile(std::string file, std::string error) {
    file_ = std::move(file);
    write_error_ = std::move(error);
  }

  LedgerReport Report(const LedgerQuery& query) const;
  // Keys that are held now, for a file that begins anew.
  std::vector<std::pair<uint64_t, KeyEntry>> HeldKeys() const;

 private:
  struct Holder {
    std::string name;
    std::string kind;
    std::string identity;
    bool operator==(const Holder&) const = default;
  };
  struct Key {
    SaHalf half;
    uint32_t holder = 0;  // index in holders_
    bool erased = false;
    uint64_t from_ms = 0;
    uint64_t until_ms = 0;
    std::string note;
  };
  // A key that is held now: there may be many.
  struct Held {
    SaHalf half;
    uint32_t holder = 0;
    uint64_t from_ms = 0;
  };
  uint32_t HolderNumber(Holder holder);
  KeyEntry EntryOf(const Key& key) const;
  KeyEntry EntryOf(const Held& key) const;
  void KeepEnded(Key key);

  const Clock* const clock_;
  std::vector<LedgerSink*> sinks_;
  std::vector<Holder> holders_;
  std::deque<PlacementEntry> placements_;
  std::deque<Key> ended_;
  std::unordered_map<uint64_t, Held> held_;
  uint64_t next_number_ = 1;
  uint64_t dropped_ = 0;
  std::string file_;
  std::string write_error_;
};

}  // namespace cygnet
