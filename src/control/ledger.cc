#include "control/ledger.h"

#include <algorithm>
#include <utility>

namespace cygnet {
namespace {

bool Fits(const LedgerQuery& query, const SaHalf& half) {
  return (!query.spi.has_value() || *query.spi == half.spi) &&
         (!query.daddr.has_value() || *query.daddr == half.daddr);
}

// All but time and half are equal.
bool HaveTheSameWords(const PlacementEntry& a, const PlacementEntry& b) {
  return a.requested == b.requested && a.requested_by == b.requested_by &&
         a.effective == b.effective && a.where == b.where && a.reason == b.reason &&
         a.explanation == b.explanation && a.simulated == b.simulated && a.really == b.really;
}

}  // namespace

void Ledger::Placed(PlacementEntry& entry) {
  entry.time_ms = clock_->WallMs();
  for (LedgerSink* sink : sinks_) sink->OnPlacement(entry);
  Restore(entry);
}

void Ledger::Restore(const PlacementEntry& entry) {
  const uint32_t words = Shared(entry);
  ++words_[words].placements;
  placements_.push_back({.time_ms = entry.time_ms, .half = ShortHalf(entry.half), .words = words});
  if (placements_.size() <= kMaxPlacements) return;
  const uint32_t oldest = placements_.front().words;
  placements_.pop_front();
  ++dropped_;
  if (--words_[oldest].placements > 0) return;
  words_[oldest].entry = {};
  free_words_.push_back(oldest);
  std::erase(recent_, oldest);
}

// Thousands of SAs are placed in the same words, so entries share those used last.
uint32_t Ledger::Shared(const PlacementEntry& entry) {
  for (const uint32_t recent : recent_) {
    if (HaveTheSameWords(words_[recent].entry, entry)) return recent;
  }
  auto index = static_cast<uint32_t>(words_.size());
  if (free_words_.empty()) {
    words_.emplace_back();
  } else {
    index = free_words_.back();
    free_words_.pop_back();
  }
  words_[index].entry = entry;
  recent_.push_front(index);
  if (recent_.size() > kRecentWords) recent_.pop_back();
  return index;
}

PlacementEntry Ledger::EntryOf(const Placement& placement) const {
  PlacementEntry entry = words_[placement.words].entry;
  entry.time_ms = placement.time_ms;
  entry.half = placement.half.Whole();
  return entry;
}

uint32_t Ledger::HolderNumber(std::string_view name, std::string_view kind,
                              std::string_view identity) {
  const auto found = std::find_if(holders_.rbegin(), holders_.rend(), [&](const Holder& holder) {
    return holder.name == name && holder.kind == kind && holder.identity == identity;
  });
  if (found != holders_.rend()) {
    return static_cast<uint32_t>(std::distance(found, holders_.rend()) - 1);
  }
  holders_.push_back(
      {.name = std::string(name), .kind = std::string(kind), .identity = std::string(identity)});
  return static_cast<uint32_t>(holders_.size() - 1);
}

Result<uint64_t> Ledger::KeyGiven(const SaHalf& half, std::string_view holder,
                                  std::string_view kind, std::string_view identity) {
  Held key{.from_ms = clock_->WallMs(),
           .half = ShortHalf(half),
           .holder = HolderNumber(holder, kind, identity)};
  const uint64_t number = next_number_++;
  const KeyEntry& entry = Shown(KeyOf(key));
  for (LedgerSink* sink : sinks_) CYGNET_RETURN_IF_ERROR(sink->OnKeyGiven(number, entry));
  held_.insert_or_assign(number, std::move(key));
  return number;
}

void Ledger::KeyEnded(uint64_t number, bool erased, std::string_view note) {
  const auto it = held_.find(number);
  if (it == held_.end()) return;
  Key key = KeyOf(it->second);
  key.erased = erased;
  key.until_ms = clock_->WallMs();
  key.note = note;
  held_.erase(it);
  for (LedgerSink* sink : sinks_) sink->OnKeyEnded(number, Shown(key));
  KeepEnded(std::move(key));
}

void Ledger::KeepEnded(Key key) {
  ended_.push_back(std::move(key));
  if (ended_.size() <= kMaxEndedKeys) return;
  ended_.pop_front();
  ++dropped_;
}

void Ledger::Restore(const KeyEntry& entry) {
  KeepEnded({.half = entry.half,
             .holder = HolderNumber(entry.holder, entry.holder_kind, entry.identity),
             .erased = entry.erased,
             .from_ms = entry.from_ms,
             .until_ms = entry.until_ms,
             .note = entry.note});
}

KeyEntry Ledger::EntryOf(const Key& key) const {
  const Holder& holder = holders_[key.holder];
  return {.half = key.half,
          .holder = holder.name,
          .holder_kind = holder.kind,
          .identity = holder.identity,
          .from_ms = key.from_ms,
          .until_ms = key.until_ms,
          .erased = key.erased,
          .note = key.note};
}

Ledger::Key Ledger::KeyOf(const Held& key) {
  return {.half = key.half.Whole(),
          .holder = key.holder,
          .erased = false,
          .from_ms = key.from_ms,
          .until_ms = 0,
          .note = {}};
}

const KeyEntry& Ledger::Shown(const Key& key) {
  if (shown_holder_ != key.holder) {
    shown_ = EntryOf(key);
    shown_holder_ = key.holder;
    return shown_;
  }
  shown_.half = key.half;
  shown_.from_ms = key.from_ms;
  shown_.until_ms = key.until_ms;
  shown_.erased = key.erased;
  shown_.note = key.note;
  return shown_;
}

std::vector<std::pair<uint64_t, KeyEntry>> Ledger::HeldKeys() const {
  std::vector<std::pair<uint64_t, KeyEntry>> held;
  held.reserve(held_.size());
  for (const auto& [number, key] : held_) held.emplace_back(number, EntryOf(KeyOf(key)));
  return held;
}

LedgerReport Ledger::Report(const LedgerQuery& query) const {
  LedgerReport report;
  report.dropped = dropped_;
  report.file = file_;
  report.write_error = write_error_;
  if (!placements_.empty()) report.since_ms = placements_.front().time_ms;
  const auto add_key = [&](KeyEntry entry) {
    if (report.since_ms == 0 || entry.from_ms < report.since_ms) report.since_ms = entry.from_ms;
    if (!Fits(query, entry.half)) return;
    if (query.holder.has_value() && *query.holder != entry.holder) return;
    report.keys.push_back(std::move(entry));
  };
  if (!query.only_current) {
    for (const Key& key : ended_) add_key(EntryOf(key));
    for (const Placement& placement : placements_) {
      const bool by_holder =
          !query.holder.has_value() || *query.holder == words_[placement.words].entry.where;
      if (by_holder && Fits(query, placement.half.Whole())) {
        report.placements.push_back(EntryOf(placement));
      }
    }
  }
  for (auto& [number, entry] : HeldKeys()) add_key(std::move(entry));
  std::stable_sort(report.keys.begin(), report.keys.end(),
                   [](const KeyEntry& a, const KeyEntry& b) { return a.from_ms < b.from_ms; });
  return report;
}

}  // namespace cygnet
