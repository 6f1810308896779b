// PacketPool: buffers of one size, allocated once. Each thread uses its own PacketCache, which
// exchanges packets with the pool in bulk.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/spin_lock.h"
#include "packet/packet.h"

namespace cygnet {

class PacketPool {
 public:
  // `count` packets of `capacity` bytes. A packet from the pool starts with `headroom` free bytes.
  PacketPool(uint32_t count, uint32_t capacity, uint32_t headroom);
  ~PacketPool();
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  uint32_t count() const { return count_; }
  uint32_t capacity() const { return capacity_; }
  uint32_t headroom() const { return headroom_; }
  uint32_t Available() const;
  // For a device that receives into the whole pool: packet i uses memory()[i·capacity()].
  std::span<uint8_t> memory() const { return {memory_, memory_bytes_}; }
  Packet* at(uint32_t i) const { return &packets_[i]; }
  uint32_t index(const Packet* packet) const {
    return static_cast<uint32_t>(packet - packets_.get());
  }

  // Any thread. Take returns how many packets it got, up to n.
  uint32_t Take(Packet** out, uint32_t n);
  void Give(Packet* const* packets, uint32_t n);

 private:
  const uint32_t count_;
  const uint32_t capacity_;
  const uint32_t headroom_;
  std::unique_ptr<Packet[]> packets_;
  uint8_t* memory_ = nullptr;
  std::size_t memory_bytes_ = 0;
  mutable SpinLock lock_;
  std::vector<Packet*> free_;  // reserved once; never grows past count_
};

// One thread's stock of packets of one pool. It is bounded by the pool's size: if one thread takes
// and another gives back, the second must not hoard a small pool.
class PacketCache {
 public:
  explicit PacketCache(PacketPool* pool)
      : pool_(pool),
        limit_(std::clamp(pool->count() / kSharers, 2u, kStock)),
        bulk_(std::clamp(limit_ / 2, 1u, kBulk)) {}
  ~PacketCache() { pool_->Give(stock_, size_); }
  PacketCache(const PacketCache&) = delete;
  PacketCache& operator=(const PacketCache&) = delete;

  // A reset packet, or nullptr if the pool is empty.
  Packet* Take() {
    if (size_ == 0) {
      size_ = pool_->Take(stock_, bulk_);
      if (size_ == 0) return nullptr;
    }
    Packet* p = stock_[--size_];
    Reset(p);
    return p;
  }

  // Returns a packet of this pool.
  void Give(Packet* p) {
    if (size_ == limit_) {
      size_ -= bulk_;
      pool_->Give(stock_ + size_, bulk_);
    }
    stock_[size_++] = p;
  }

  PacketPool* pool() const { return pool_; }

 private:
  static constexpr uint32_t kBulk = 64;
  static constexpr uint32_t kStock = 256;
  static constexpr uint32_t kSharers = 16;  // threads that may hold a stock: workers and devices

  void Reset(Packet* p) const {
    p->head = pool_->headroom();
    p->length = 0;
    p->l3_offset = 0;
    p->gso_size = 0;
    p->gso_type = GsoType::kNone;
    p->csum_partial = false;
    p->inside = 0;
    p->interface = 0;
    p->SetCapacity(pool_->capacity());  // with the next line one store of a whole word
    p->tunnel = 0;
    p->protection = Protection::kNone;
    p->offload = OffloadMeta{};
  }

  PacketPool* const pool_;
  const uint32_t limit_;
  const uint32_t bulk_;
  uint32_t size_ = 0;
  Packet* stock_[kStock];
};

// Six nested tunnels of the largest kind: outer IPv6 40, UDP 8, ESP 8, IV 16 each, plus spare room.
inline constexpr uint32_t kPacketHeadroom = 448;
inline constexpr uint32_t kPacketTailroom = 384;  // pad 255, trailer 2, ICV 64, rounded up
inline constexpr uint32_t kSmallPacketBytes = 3072;
inline constexpr uint32_t kLargePacketBytes = 10 * 1024;
inline constexpr uint32_t kJumboPacketBytes = 66 * 1024 + 512;
static_assert(kJumboPacketBytes + 63 < 1u << 20, "Packet::capacity has 20 bits");

// The longest frame that a packet of each pool takes, with room for encapsulation around it.
constexpr uint32_t FrameRoom(uint32_t packet_bytes) {
  return packet_bytes - kPacketHeadroom - kPacketTailroom;
}
inline constexpr uint32_t kSmallFrame = FrameRoom(kSmallPacketBytes);
inline constexpr uint32_t kLargeFrame = FrameRoom(kLargePacketBytes);
inline constexpr uint32_t kJumboFrame = FrameRoom(kJumboPacketBytes);

// The largest MTUs: with small packets only, and with large packets, too.
inline constexpr uint32_t kSmallMtu = kSmallFrame - 14;  // Ethernet header
inline constexpr uint32_t kLargestMtu = 9216;
static_assert(kLargestMtu + 14 + 2 * 4 <= kLargeFrame, "two VLAN tags");

// The pools of a daemon: frames of ordinary MTUs, jumbo frames, and super-packets of up to 64 KiB.
// Without large packets, jumbo frames use the pool of the super-packets.
struct PacketPools {
  PacketPool small;
  PacketPool jumbo;
  PacketPool large;
  PacketPools(uint32_t small_count, uint32_t jumbo_count, uint32_t large_count = 0);

  uint32_t LargestMtu() const { return large.count() != 0 ? kLargestMtu : kSmallMtu; }
};

// One thread's stock of all pools.
struct PacketCaches {
  PacketCache small;
  PacketCache jumbo;
  PacketCache large;
  explicit PacketCaches(PacketPools* pools)
      : small(&pools->small), jumbo(&pools->jumbo), large(&pools->large) {}

  bool HasLarge() const { return large.pool()->count() != 0; }
  // A packet that takes a frame of this length, or nullptr if its pool is empty. Jumbo frames do
  // not use up the packets of super-packets. REQUIRES: frame_bytes ≤ kJumboFrame.
  Packet* TakeFor(uint32_t frame_bytes) {
    return frame_bytes <= kSmallFrame ? small.Take() : TakeLong(frame_bytes);
  }
  // The same for a frame that a small packet does not take.
  Packet* TakeLong(uint32_t frame_bytes) {
    return frame_bytes <= kLargeFrame && HasLarge() ? large.Take() : jumbo.Take();
  }
  void Give(Packet* p) {
    if (p->pool == small.pool()) {
      small.Give(p);
    } else {
      (p->pool == jumbo.pool() ? jumbo : large).Give(p);
    }
  }
};

}  // namespace cygnet
