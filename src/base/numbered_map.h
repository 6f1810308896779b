// NumberedMap: a map whose keys are numbers that grow with each new entry, as those of SAs,
// policies and ledger entries do. It takes little more memory than its values: no node, no hash.
//
// An erased entry leaves a hole, which a later insertion closes when there are more holes than
// entries. The last entry is never a hole. One thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace cygnet {

// `T`: default-constructible and movable. References and pointers to values are valid until the
// next insertion. Iterators stay valid while their own entry exists, and can be incremented even
// after it was erased.
template <typename T>
class NumberedMap {
  using Entry = std::pair<uint64_t, T>;  // the number may have kErased
  static constexpr uint64_t kErased = uint64_t{1} << 63;
  static bool IsErased(const Entry& entry) { return (entry.first & kErased) != 0; }
  static uint64_t NumberOf(const Entry& entry) { return entry.first & ~kErased; }

 public:
  template <bool kConst>
  class Iterator {
   public:
    using Map = std::conditional_t<kConst, const NumberedMap, NumberedMap>;
    using iterator_category = std::forward_iterator_tag;
    using value_type = std::pair<uint64_t, T>;
    using difference_type = std::ptrdiff_t;
    using reference = std::conditional_t<kConst, const value_type&, value_type&>;
    using pointer = std::conditional_t<kConst, const value_type*, value_type*>;

    Iterator() = default;
    Iterator(Map* map, std::size_t index) : map_(map), layout_(map->layout_), index_(index) {
      SkipErased();
    }
    operator Iterator<true>() const { return {map_, index_}; }  // NOLINT: as in containers
    reference operator*() const {
      if (layout_ != map_->layout_) {
        index_ = map_->IndexOf(number_);
        layout_ = map_->layout_;
      }
      return map_->entries_[index_];
    }
    pointer operator->() const { return &**this; }
    Iterator& operator++() {
      index_ = layout_ == map_->layout_ ? index_ + 1 : map_->IndexOf(number_ + 1);
      layout_ = map_->layout_;
      SkipErased();
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const Iterator& other) const {
      return (index_ == kEnd) == (other.index_ == kEnd) &&
             (index_ == kEnd || number_ == other.number_);
    }

   private:
    friend class NumberedMap;
    void SkipErased() {
      const auto& entries = map_->entries_;
      while (index_ < entries.size() && IsErased(entries[index_])) ++index_;
      if (index_ < entries.size()) {
        number_ = entries[index_].first;
      } else {
        index_ = kEnd;
      }
    }
    static constexpr std::size_t kEnd = ~std::size_t{0};
    Map* map_ = nullptr;
    mutable uint64_t layout_ = 0;  // of the map when index_ was right
    mutable std::size_t index_ = kEnd;
    uint64_t number_ = 0;  // of the entry
  };
  using iterator = Iterator<false>;
  using const_iterator = Iterator<true>;

  std::size_t size() const { return live_; }
  bool empty() const { return live_ == 0; }
  iterator begin() { return {this, 0}; }
  iterator end() { return {this, entries_.size()}; }
  const_iterator begin() const { return {this, 0}; }
  const_iterator end() const { return {this, entries_.size()}; }

  iterator find(uint64_t number) { return {this, Find(number)}; }
  const_iterator find(uint64_t number) const { return {this, Find(number)}; }
  // The first entry with this number or a larger one.
  iterator lower_bound(uint64_t number) { return {this, IndexOf(number)}; }
  const_iterator lower_bound(uint64_t number) const { return {this, IndexOf(number)}; }
  bool contains(uint64_t number) const { return Find(number) != entries_.size(); }
  // REQUIRES: contains(number).
  T& at(uint64_t number) { return Existing(number).second; }
  const T& at(uint64_t number) const {
    return const_cast<NumberedMap*>(this)->at(number);  // NOLINT: it changes nothing
  }
  // The largest number. REQUIRES: !empty().
  uint64_t last() const { return entries_.back().first; }

  // Replaces the value if there is one. Fast for the largest number. REQUIRES: number < 2^63.
  void insert_or_assign(uint64_t number, T value) {
    const std::size_t at = IndexOf(number);
    if (at < entries_.size() && NumberOf(entries_[at]) == number) {
      if (IsErased(entries_[at])) ++live_;
      entries_[at] = Entry(number, std::move(value));
      return;
    }
    const bool at_end = at == entries_.size();
    if (!at_end) ++layout_;
    ++live_;
    entries_.insert(entries_.begin() + static_cast<std::ptrdiff_t>(at),
                    Entry(number, std::move(value)));
    if (entries_.size() - live_ > live_ + kFewHoles) CloseHoles();
  }
  // False: there was none.
  bool erase(uint64_t number) {
    const std::size_t at = Find(number);
    if (at == entries_.size()) return false;
    EraseAt(at);
    return true;
  }
  void erase(iterator it) { EraseAt(Find(it.number_)); }

  // Calls fn(number, value) for each entry, the largest number first. fn must not change the map.
  template <typename Fn>
  void ForEachReversed(Fn fn) const {
    for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
      if (!IsErased(*it)) fn(it->first, it->second);
    }
  }

 private:
  static constexpr std::size_t kFewHoles = 64;

  // Of the first entry whose number is not smaller. Without holes before it, the first guess is
  // right.
  std::size_t IndexOf(uint64_t number) const {
    if (entries_.empty() || number > NumberOf(entries_.back())) return entries_.size();
    const uint64_t first = NumberOf(entries_.front());
    if (number <= first) return 0;
    std::size_t high = static_cast<std::size_t>(
        std::min<uint64_t>(number - first, entries_.size() - 1));  // its number is not smaller
    std::size_t low = high;
    for (std::size_t step = 1; NumberOf(entries_[low]) > number; step *= 2) {
      high = low;
      low -= std::min(low, step);
    }
    const auto begin = entries_.begin();
    const auto found = std::lower_bound(
        begin + static_cast<std::ptrdiff_t>(low), begin + static_cast<std::ptrdiff_t>(high), number,
        [](const Entry& entry, uint64_t than) { return NumberOf(entry) < than; });
    return static_cast<std::size_t>(found - begin);
  }
  std::size_t Find(uint64_t number) const {
    const std::size_t at = IndexOf(number);
    const bool found = at < entries_.size() && entries_[at].first == number;
    return found ? at : entries_.size();
  }
  Entry& Existing(uint64_t number) {
    const std::size_t at = Find(number);
    CYGNET_CHECK(at < entries_.size());
    return entries_[at];
  }
  void EraseAt(std::size_t at) {
    entries_[at].second = T{};
    entries_[at].first |= kErased;
    if (--live_ == 0) {
      ++layout_;
      std::deque<Entry>().swap(entries_);
    } else if (IsErased(entries_.back())) {
      // Each entry goes once. The next one gets an index that iterators may still have.
      ++layout_;
      while (IsErased(entries_.back())) entries_.pop_back();
    }
  }
  void CloseHoles() {
    ++layout_;
    std::deque<Entry> kept;
    for (Entry& entry : entries_) {
      if (!IsErased(entry)) kept.push_back(std::move(entry));
    }
    entries_.swap(kept);
  }

  std::deque<Entry> entries_;  // by number
  std::size_t live_ = 0;
  uint64_t layout_ = 0;  // rises when entries move to other indexes
};

}  // namespace cygnet
