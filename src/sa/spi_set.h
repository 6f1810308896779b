// SpiSet: the SPIs of many SAs, four bytes each: whether one is in use, and by how many. Control
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/hash_seed.h"

namespace cygnet {

// A hash table with open addresses. No SPI is 0 (RFC 4303 section 2.1): 0 is a free slot.
class SpiSet {
 public:
  // REQUIRES: spi != 0.
  void Add(uint32_t spi) {
    if (used_ + 1 > slots_.size() / 8 * 7) Grow();
    uint32_t& slot = slots_[IndexOf(spi)];
    if (slot == spi) {
      ++more_[spi];
      return;
    }
    slot = spi;
    ++used_;
  }
  // No effect if there is none.
  void Remove(uint32_t spi) {
    if (const auto it = more_.find(spi); it != more_.end()) {
      if (--it->second == 0) more_.erase(it);
      return;
    }
    if (!Has(spi)) return;
    Free(IndexOf(spi));
    if (--used_ == 0) std::vector<uint32_t>().swap(slots_);
  }
  bool Has(uint32_t spi) const { return spi != 0 && used_ != 0 && slots_[IndexOf(spi)] == spi; }

 private:
  static constexpr std::size_t kFirstSlots = 16;

  // Of a slot that is sought first for this SPI.
  std::size_t HomeOf(uint32_t spi) const { return SeededHash(spi, 0) & (slots_.size() - 1); }
  // Of its slot; if it has none, of the free slot where it belongs.
  std::size_t IndexOf(uint32_t spi) const {
    std::size_t i = HomeOf(spi);
    while (slots_[i] != 0 && slots_[i] != spi) i = (i + 1) & (slots_.size() - 1);
    return i;
  }
  // SPIs behind the slot move up, so that no search ends before it finds them.
  void Free(std::size_t hole) {
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = (hole + 1) & mask; slots_[i] != 0; i = (i + 1) & mask) {
      const std::size_t from_home = (i - HomeOf(slots_[i])) & mask;
      if (from_home < ((i - hole) & mask)) continue;
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole] = 0;
  }
  void Grow() {
    const std::vector<uint32_t> old = std::move(slots_);
    slots_.assign(old.empty() ? kFirstSlots : old.size() * 2, 0);
    for (const uint32_t spi : old) {
      if (spi != 0) slots_[IndexOf(spi)] = spi;
    }
  }

  std::vector<uint32_t> slots_;
  std::size_t used_ = 0;
  std::unordered_map<uint32_t, uint32_t> more_;  // of SPIs that several SAs have: all but one
};

}  // namespace cygnet
