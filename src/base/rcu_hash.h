// RcuHash: a hash multimap of pointers. Workers read it without locks while one control thread
// changes it. Entries with equal hashes are found newest first. Quiescence frees what is unlinked.
//
// A bucket is one cache line: seven words, each a pointer with the top bits of its hash, and a link
// to its overflow bucket. A look-up that finds nothing touches one line; one that finds a value
// touches that line and the value.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/huge_memory.h"
#include "base/quiescence.h"

namespace cygnet {

// HashOf: uint64_t operator()(const T&). It must not change while the object is in the table; low
// and high bits are both used. Two objects may have equal hashes. In rare cases `match` is called
// for an object with another hash.
template <typename T, typename HashOf>
class RcuHash {
 public:
  explicit RcuHash(Quiescence* quiescence)
      : quiescence_(quiescence), table_(new Table(kInitialBuckets)) {}
  ~RcuHash() { delete table_.load(); }
  RcuHash(const RcuHash&) = delete;
  RcuHash& operator=(const RcuHash&) = delete;

  // Reader: the newest value with this hash for which match(value) is true.
  template <typename Fn>
  T* Find(uint64_t hash, Fn match) const {
    const Table* table = table_.load(std::memory_order_acquire);
    const uint64_t tag = TagOf(hash);
    // In this order, because Spill moves entries from a bucket to the one behind it.
    for (const Bucket* bucket = &table->buckets[hash & table->mask]; bucket != nullptr;
         bucket = bucket->next.load(std::memory_order_acquire)) {
      for (std::size_t i = kSlots; i-- > 0;) {
        const uint64_t word = bucket->slots[i].load(std::memory_order_acquire);
        if (!IsTagged(word, tag)) continue;
        T* value = ValueOf(word);
        if (match(value)) return value;
      }
    }
    return nullptr;
  }

  // Reader: prefetches what Find touches first.
  void Prefetch(uint64_t hash) const {
    const Table* table = table_.load(std::memory_order_acquire);
    __builtin_prefetch(&table->buckets[hash & table->mask]);
  }
  // Reader, once that has arrived: the first value that Find would offer to `match`, without
  // touching it; nullptr if none.
  T* First(uint64_t hash) const {
    return Find(hash, [](const T*) { return true; });
  }

  // Control thread only, from here on.
  void Insert(T* value) {
    Table* table = table_.load(std::memory_order_relaxed);
    if (size() >= table->buckets.size() * kFullBucket) table = Grow(table);
    table->PushFront(HashOf{}(*value), value);
    size_.fetch_add(1, std::memory_order_relaxed);
  }

  void Erase(T* value) {
    Table* table = table_.load(std::memory_order_relaxed);
    Bucket* before = nullptr;
    for (Bucket* bucket = &table->buckets[HashOf{}(*value) & table->mask]; bucket != nullptr;
         bucket = bucket->next.load(std::memory_order_relaxed)) {
      if (bucket->Clear(value)) {
        size_.fetch_sub(1, std::memory_order_relaxed);
        if (before != nullptr && bucket->IsEmpty()) {
          before->next.store(bucket->next.load(std::memory_order_relaxed),
                             std::memory_order_release);
          quiescence_->Retire([bucket] { delete bucket; });
        }
        return;
      }
      before = bucket;
    }
  }

  // Calls fn(value) for each value. fn must not change the table.
  template <typename Fn>
  void ForEach(Fn fn) const {
    for (const Bucket& bucket : table_.load(std::memory_order_relaxed)->buckets) {
      bucket.ForEachInChain(fn);
    }
  }

  std::size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kInitialBuckets = 16;
  static constexpr std::size_t kSlots = 7;
  static constexpr std::size_t kFullBucket = 4;  // on average; about one bucket in twenty overflows
  static constexpr int kTagShift = 48;  // user space is below 2^48 (x86-64 with 4 levels, arm64)

  static uint64_t TagOf(uint64_t hash) { return hash >> kTagShift << kTagShift; }
  static T* ValueOf(uint64_t word) {
    return reinterpret_cast<T*>(word & ((uint64_t{1} << kTagShift) - 1));
  }
  // In use, and with this tag.
  static bool IsTagged(uint64_t word, uint64_t tag) {
    return (word ^ tag) - 1 < (uint64_t{1} << kTagShift) - 1;
  }

  struct alignas(kCacheLine) Bucket : FromSlab<Bucket> {
    std::array<std::atomic<uint64_t>, kSlots> slots{};  // 0: free; the newest has the highest index
    std::atomic<Bucket*> next{nullptr};                 // older entries

    std::size_t Used() const {
      std::size_t used = kSlots;
      while (used > 0 && slots[used - 1].load(std::memory_order_relaxed) == 0) --used;
      return used;
    }
    bool IsEmpty() const { return Used() == 0; }
    bool Clear(const T* value) {
      for (auto& slot : slots) {
        if (ValueOf(slot.load(std::memory_order_relaxed)) != value) continue;
        slot.store(0, std::memory_order_release);
        return true;
      }
      return false;
    }
    // Copies the entries to a bucket behind this one before clearing them here, so a reader may
    // meet an entry twice but never misses it.
    void Spill() {
      auto* behind = new Bucket;
      std::size_t n = 0;
      for (const auto& slot : slots) {
        const uint64_t word = slot.load(std::memory_order_relaxed);
        if (word != 0) behind->slots[n++].store(word, std::memory_order_relaxed);
      }
      behind->next.store(next.load(std::memory_order_relaxed), std::memory_order_relaxed);
      next.store(behind, std::memory_order_release);
      for (auto& slot : slots) slot.store(0, std::memory_order_release);
    }
    template <typename Fn>
    void ForEachInChain(Fn fn) const {
      for (const Bucket* b = this; b != nullptr; b = b->next.load(std::memory_order_relaxed)) {
        for (std::size_t i = kSlots; i-- > 0;) {
          const uint64_t word = b->slots[i].load(std::memory_order_relaxed);
          if (word != 0) fn(ValueOf(word));
        }
      }
    }
  };
  static_assert(sizeof(Bucket) == kCacheLine);

  struct Table {
    explicit Table(std::size_t n) : mask(n - 1), buckets(n) {}
    ~Table() {
      for (Bucket& bucket : buckets) {
        for (Bucket* b = bucket.next.load(); b != nullptr;) {
          Bucket* next = b->next.load();
          delete b;
          b = next;
        }
      }
    }
    void PushFront(uint64_t hash, T* value) {
      const auto address = reinterpret_cast<uint64_t>(value);
      CYGNET_CHECK(address >> kTagShift == 0);
      Bucket& head = buckets[hash & mask];
      std::size_t used = head.Used();
      if (used == kSlots) {
        head.Spill();
        used = 0;
      }
      head.slots[used].store(TagOf(hash) | address, std::memory_order_release);
    }
    const std::size_t mask;
    std::vector<Bucket, HugeAllocator<Bucket>> buckets;
  };

  Table* Grow(Table* old) {
    auto* bigger = new Table(old->buckets.size() * 2);
    std::vector<T*> chain;  // refilled from its end, so that the newest stays first
    for (const Bucket& bucket : old->buckets) {
      chain.clear();
      bucket.ForEachInChain([&](T* value) { chain.push_back(value); });
      for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
        bigger->PushFront(HashOf{}(**it), *it);
      }
    }
    table_.store(bigger, std::memory_order_release);
    quiescence_->Retire([old] { delete old; });
    return bigger;
  }

  Quiescence* const quiescence_;
  std::atomic<Table*> table_;
  std::atomic<std::size_t> size_{0};
};

}  // namespace cygnet
