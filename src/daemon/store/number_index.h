// NumberIndex: what MemoryNumbers knows of each id. One array and no nodes: a look-up touches one
// cache line, and 100,000 SAs, which have two ids each, come and go without 200,000 allocations.
// Control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"
#include "control/numbers/number_identity.h"

namespace cygnet {

class NumberIndex {
 public:
  struct Known {
    static constexpr uint32_t kNone = ~uint32_t{0};
    uint32_t at = kNone;  // its entry in the region
    uint32_t living = 0;  // how many SAs have it
    bool nothing() const { return at == kNone && living == 0; }
  };

  // nullptr: nothing is known of it. The result is valid until the next Change, Forget or Reserve.
  Known* Find(const NumberId& id) {
    if (places_.empty()) return nullptr;
    Place& place = places_[PlaceOf(id)];
    return place.known.nothing() ? nullptr : &place.known;
  }
  const Known* Find(const NumberId& id) const { return const_cast<NumberIndex*>(this)->Find(id); }

  // Calls change(known), which leaves something known.
  template <typename Fn>
  void Change(const NumberId& id, Fn change) {
    Reserve(size_ + 1);
    Place& place = places_[PlaceOf(id)];
    if (place.known.nothing()) ++size_;
    place.id = id;
    change(&place.known);
    CYGNET_CHECK(!place.known.nothing());
  }

  // Those behind it move up, so that none is behind a gap.
  void Forget(const NumberId& id) {
    if (Find(id) == nullptr) return;
    std::size_t gap = PlaceOf(id);
    places_[gap] = {};
    --size_;
    for (std::size_t i = Next(gap); !places_[i].known.nothing(); i = Next(i)) {
      if (Distance(Home(places_[i].id), i) < Distance(gap, i)) continue;
      places_[gap] = std::exchange(places_[i], {});
      gap = i;
    }
  }

  template <typename Fn>
  void ForEach(Fn fn) const {  // fn(id, known)
    for (const Place& place : places_) {
      if (!place.known.nothing()) fn(place.id, place.known);
    }
  }

  // Room for so many, of which two thirds of the places are used at most.
  void Reserve(std::size_t ids) {
    if (3 * ids <= 2 * places_.size()) return;
    std::size_t n = kFewest;
    while (3 * ids > 2 * n) n *= 2;
    std::vector<Place> before = std::exchange(places_, std::vector<Place>(n));
    for (const Place& place : before) {
      if (!place.known.nothing()) places_[PlaceOf(place.id)] = place;
    }
  }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kFewest = 16;
  struct Place {
    NumberId id{};
    Known known;
  };

  // The id is a keyed hash already.
  std::size_t Home(const NumberId& id) const {
    uint64_t hash = 0;
    std::memcpy(&hash, id.data(), sizeof(hash));
    return hash & (places_.size() - 1);
  }
  std::size_t Next(std::size_t i) const { return (i + 1) & (places_.size() - 1); }
  std::size_t Distance(std::size_t from, std::size_t to) const {
    return (to - from) & (places_.size() - 1);
  }
  // Where it is, or the free place where it would be.
  std::size_t PlaceOf(const NumberId& id) const {
    std::size_t i = Home(id);
    while (!places_[i].known.nothing() && places_[i].id != id) i = Next(i);
    return i;
  }

  std::vector<Place> places_;  // a power of two, or none
  std::size_t size_ = 0;
};

}  // namespace cygnet
