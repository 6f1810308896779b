// RcuHash: a hash multimap of pointers, read without locks by workers while one control thread
// changes it. Entries of one hash are found newest first. What is unlinked is freed by Quiescence.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/huge_memory.h"
#include "base/quiescence.h"

namespace cygnet {

template <typename T>
class RcuHash {
 public:
  explicit RcuHash(Quiescence* quiescence)
      : quiescence_(quiescence), table_(new Table(kInitialBuckets)) {}
  ~RcuHash() { delete table_.load(); }
  RcuHash(const RcuHash&) = delete;
  RcuHash& operator=(const RcuHash&) = delete;

  // Reader: the first value with this hash for which match(value) is true, newest first.
  template <typename Fn>
  T* Find(uint64_t hash, Fn match) const {
    const Table* table = table_.load(std::memory_order_acquire);
    const Node* node = table->buckets[hash & table->mask].load(std::memory_order_acquire);
    for (; node != nullptr; node = node->next.load(std::memory_order_acquire)) {
      if (node->hash == hash && match(node->value)) return node->value;
    }
    return nullptr;
  }

  // Reader: what Find will touch first is on its way into the cache.
  void Prefetch(uint64_t hash) const {
    const Table* table = table_.load(std::memory_order_acquire);
    __builtin_prefetch(&table->buckets[hash & table->mask]);
  }
  // Once the bucket has come: the first node of its chain is on its way.
  void PrefetchFirst(uint64_t hash) const {
    const Table* table = table_.load(std::memory_order_acquire);
    __builtin_prefetch(table->buckets[hash & table->mask].load(std::memory_order_acquire));
  }
  // Once that has come: the first value of this hash, asked nothing; nullptr: there is none.
  T* First(uint64_t hash) const {
    return Find(hash, [](const T*) { return true; });
  }

  // Control thread only, from here on.
  void Insert(uint64_t hash, T* value) {
    MakeRoom()->PushFront(hash, value);
    size_.fetch_add(1, std::memory_order_relaxed);
  }

  // Into its place among the values of this hash: in front of the first that it is `before` of.
  template <typename Before>
  void InsertOrdered(uint64_t hash, T* value, Before before) {
    Table* table = MakeRoom();
    std::atomic<Node*>* link = &table->buckets[hash & table->mask];
    for (Node* node = link->load(); node != nullptr; node = link->load()) {
      if (node->hash == hash && before(*value, *node->value)) break;
      link = &node->next;
    }
    Node* node = new Node(hash, value);
    node->next.store(link->load(std::memory_order_relaxed), std::memory_order_relaxed);
    link->store(node, std::memory_order_release);
    size_.fetch_add(1, std::memory_order_relaxed);
  }

  void Erase(uint64_t hash, T* value) {
    Table* table = table_.load(std::memory_order_relaxed);
    std::atomic<Node*>* link = &table->buckets[hash & table->mask];
    for (Node* node = link->load(); node != nullptr; link = &node->next, node = link->load()) {
      if (node->value == value) {
        link->store(node->next.load(), std::memory_order_release);
        quiescence_->Retire([node] { delete node; });
        size_.fetch_sub(1, std::memory_order_relaxed);
        return;
      }
    }
  }

  std::size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  struct Node : FromSlab<Node> {
    Node(uint64_t h, T* v) : hash(h), value(v) {}
    uint64_t hash;
    T* value;
    std::atomic<Node*> next{nullptr};
  };

  struct Table {
    explicit Table(std::size_t n) : mask(n - 1), buckets(n) {}
    ~Table() {
      for (auto& bucket : buckets) {
        for (Node* node = bucket.load(); node != nullptr;) {
          Node* next = node->next.load();
          delete node;
          node = next;
        }
      }
    }
    void PushFront(uint64_t hash, T* value) {
      auto& head = buckets[hash & mask];
      Node* node = new Node(hash, value);
      node->next.store(head.load(), std::memory_order_relaxed);
      head.store(node, std::memory_order_release);
    }
    const std::size_t mask;
    std::vector<std::atomic<Node*>, HugeAllocator<std::atomic<Node*>>> buckets;
  };

  Table* MakeRoom() {
    Table* table = table_.load(std::memory_order_relaxed);
    return size() >= table->buckets.size() ? Grow(table) : table;
  }

  Table* Grow(Table* old) {
    Table* bigger = new Table(old->buckets.size() * 2);
    for (auto& bucket : old->buckets) {
      std::vector<Node*> chain;  // refilled from its end, so that newest stays first
      for (Node* node = bucket.load(); node != nullptr; node = node->next.load()) {
        chain.push_back(node);
      }
      for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
        bigger->PushFront((*it)->hash, (*it)->value);
      }
    }
    table_.store(bigger, std::memory_order_release);
    quiescence_->Retire([old] { delete old; });
    return bigger;
  }

  static constexpr std::size_t kInitialBuckets = 64;
  Quiescence* const quiescence_;
  std::atomic<Table*> table_;
  std::atomic<std::size_t> size_{0};
};

}  // namespace cygnet
