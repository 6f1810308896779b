// PacketBatch: up to kMaxBatch owned packets in order. The only way to drop packets is `Filter`
// with a sink.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "packet/drop_reason.h"
#include "packet/drop_watch.h"
#include "packet/packet_pool.h"

namespace cygnet {

inline constexpr uint32_t kMaxBatch = 64;

// Gets packets that a DropSink does not drop in truth: their owner keeps them.
class DropKeeper {
 public:
  virtual void OnDrop(Packet* packet, DropReason reason) = 0;

 protected:
  ~DropKeeper() = default;
};

// Where packets are dropped: counts the reason and returns the packet to its pool. One per thread.
class DropSink {
 public:
  // `watch` sees what is dropped; nullptr: nobody does.
  DropSink(PacketCaches* caches, DropCounters* counters, DropWatch* watch = nullptr)
      : caches_(caches), counters_(counters), watch_(watch) {}
  // Counts and returns nothing: `keeper` gets all packets.
  explicit DropSink(DropKeeper* keeper) : keeper_(keeper) {}
  void Drop(Packet* p, DropReason reason) {
    if (watch_ != nullptr) watch_->Offer(*p, reason);
    DropSeen(p, reason);
  }
  // For a packet that the watch has already seen.
  void DropSeen(Packet* p, DropReason reason) {
    if (keeper_ != nullptr) return keeper_->OnDrop(p, reason);
    counters_->Add(reason);
    caches_->Give(p);
  }
  // Returns a packet whose contents were copied or cut into segments. Not counted as a drop.
  void Recycle(Packet* p) { caches_->Give(p); }
  PacketCaches* caches() { return caches_; }
  DropCounters* counters() { return counters_; }

 private:
  PacketCaches* caches_ = nullptr;
  DropCounters* counters_ = nullptr;
  DropWatch* watch_ = nullptr;
  DropKeeper* keeper_ = nullptr;
};

class PacketBatch {
 public:
  PacketBatch() = default;
  PacketBatch(const PacketBatch&) = delete;
  PacketBatch& operator=(const PacketBatch&) = delete;
  ~PacketBatch() { CYGNET_DCHECK(size_ == 0); }

  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool full() const { return size_ == kMaxBatch; }
  uint32_t room() const { return kMaxBatch - size_; }
  Packet* operator[](uint32_t i) const { return packets_[i]; }
  std::span<Packet*> packets() { return {packets_.data(), size_}; }

  // Takes ownership. REQUIRES: !full().
  void Push(Packet* p) {
    CYGNET_DCHECK(size_ < kMaxBatch);
    packets_[size_++] = p;
  }

  // For a port that now owns the first n packets, or all of them.
  void ReleaseFront(uint32_t n) {
    CYGNET_DCHECK(n <= size_);
    for (uint32_t i = n; i < size_; ++i) packets_[i - n] = packets_[i];
    size_ -= n;
  }
  void ReleaseAll() { size_ = 0; }

  // Keeps the packets for which fn(packet, index) returns kNone, in order; drops the others.
  template <typename Fn>
  void Filter(Fn fn, DropSink* sink) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < size_; ++i) {
      const DropReason reason = fn(packets_[i], i);
      if (reason == DropReason::kNone) {
        packets_[kept++] = packets_[i];
      } else {
        sink->Drop(packets_[i], reason);
      }
    }
    size_ = kept;
  }

  // Moves the packets for which pred(packet) is true to the end of `to`; the others stay. Both keep
  // their order. REQUIRES: `to` has room for them.
  template <typename Pred>
  void Partition(Pred pred, PacketBatch* to) {
    uint32_t kept = 0;
    for (Packet* packet : packets()) {
      if (pred(packet)) {
        to->Push(packet);
      } else {
        packets_[kept++] = packet;
      }
    }
    size_ = kept;
  }

  void DropAll(DropReason reason, DropSink* sink) {
    Filter([reason](Packet*, uint32_t) { return reason; }, sink);
  }

 private:
  uint32_t size_ = 0;
  std::array<Packet*, kMaxBatch> packets_;
};

}  // namespace cygnet
