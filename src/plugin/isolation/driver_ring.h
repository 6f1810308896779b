// The memory of an isolated driver: slots for frames, and rings of one producer and one consumer
// that carry their numbers. The host copies each frame in and out.
#pragma once

#include <cygnet/driver.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cygnet::isolation {

// Members of cygnet_driver from `open` on, as bits of Description::functions; and two of its
// optional tables.
inline constexpr uint32_t kDriverMembers = 25;
inline constexpr uint32_t kHasSetMirror = 1u << 25;
inline constexpr uint32_t kHasView = 1u << 26;
// The bit of the member at `offset`.
constexpr uint32_t DriverBit(std::size_t offset) {
  return 1u << ((offset - offsetof(cygnet_driver, open)) / sizeof(void*));
}
static_assert(offsetof(cygnet_driver, findings) ==
              offsetof(cygnet_driver, open) + (kDriverMembers - 1) * sizeof(void*));

// --- Slots ---

inline constexpr uint32_t kHeadroom = 512;
inline constexpr uint32_t kFrameBytes = 10240;  // longest frame with its tailroom
inline constexpr uint32_t kFrameSlotBytes = kHeadroom + kFrameBytes;
inline constexpr uint32_t kReasonBytes = 32;

// As cygnet_packet. Written by whoever gives the slot to the other side.
struct FrameHeader {
  uint32_t capacity;  // host: what the plug-in may use of the slot
  uint32_t head, length;
  uint32_t handle, esn_high, sa_number;
  uint16_t l3_offset, esp_offset;
  uint8_t status, flags;
  uint8_t reserved[2];
  char reason[kReasonBytes];  // with kDrop
};

// --- Rings ---

enum class Move : uint8_t {
  kPacket = 0,  // down, wire, stock: to the plug-in; up: from rx_burst
  kSend = 1,    // out: by the wire that the entry names
  kFree = 2,
  kDrop = 3,
};
struct RingEntry {
  uint32_t slot;
  Move move;
  uint8_t wire;
};
inline uint64_t Pack(const RingEntry& e) {
  return uint64_t{e.slot} << 16 | uint64_t{static_cast<uint8_t>(e.move)} << 8 | e.wire;
}
inline RingEntry UnpackEntry(uint64_t word) {
  return {.slot = static_cast<uint32_t>(word >> 16),
          .move = static_cast<Move>(static_cast<uint8_t>(word >> 8)),
          .wire = static_cast<uint8_t>(word)};
}

struct FrameRing {
  alignas(64) std::atomic<uint32_t> tail;             // entries that were put in so far
  alignas(64) std::atomic<uint32_t> consumer_sleeps;  // 1: ring its bell
  alignas(64) std::atomic<uint32_t> beat;             // "down": turns of the child's thread
  std::atomic<uint64_t>* entries() { return reinterpret_cast<std::atomic<uint64_t>*>(this + 1); }
};

// One end of a ring, and how far it is. A slot is in one ring at most, and a ring has room for all
// slots: a producer need not know how far the consumer is.
class RingEnd {
 public:
  RingEnd() = default;
  RingEnd(FrameRing* ring, uint32_t entries) : ring_(ring), mask_(entries - 1) {}

  void Push(const RingEntry& entry) {
    ring_->entries()[position_++ & mask_].store(Pack(entry), std::memory_order_relaxed);
  }
  // True if the consumer must be woken.
  bool Publish() {
    ring_->tail.store(position_);
    return ring_->consumer_sleeps.load() != 0 && ring_->consumer_sleeps.exchange(0) != 0;
  }

  // Host: more than room() is a lie.
  uint32_t ready() const { return ring_->tail.load() - position_; }
  // Any thread: entries that were put in so far.
  uint32_t published() const { return ring_->tail.load(); }
  uint32_t room() const { return mask_ + 1; }
  RingEntry Pop() {
    return UnpackEntry(ring_->entries()[position_++ & mask_].load(std::memory_order_relaxed));
  }
  void SetSleeps(uint32_t sleeps) { ring_->consumer_sleeps.store(sleeps); }
  std::atomic<uint32_t>& beat() const { return ring_->beat; }

 private:
  FrameRing* ring_ = nullptr;
  uint32_t mask_ = 0;
  uint32_t position_ = 0;
};

// --- Memory ---

struct DriverShape {
  uint32_t queues = 0;
  uint32_t wires = 0;  // queues of the wire
  uint32_t slots = 0;
};

class DriverMemory {
 public:
  DriverMemory() = default;
  DriverMemory(void* memory, const DriverShape& shape)
      : memory_(static_cast<uint8_t*>(memory)), shape_(shape), entries_(Entries(shape)) {}

  static std::size_t Bytes(const DriverShape& shape) {
    return Headers(shape) + shape.slots * sizeof(FrameHeader) +
           std::size_t{shape.slots} * kFrameSlotBytes;
  }
  const DriverShape& shape() const { return shape_; }

  RingEnd down(uint32_t queue) const { return End(queue); }
  RingEnd up(uint32_t queue) const { return End(shape_.queues + queue); }
  RingEnd wire(uint32_t wire) const { return End(2 * shape_.queues + wire); }
  RingEnd stock() const { return End(2 * shape_.queues + shape_.wires); }
  RingEnd out() const { return End(2 * shape_.queues + shape_.wires + 1); }

  // REQUIRES: slot < slots.
  FrameHeader& header(uint32_t slot) const {
    return reinterpret_cast<FrameHeader*>(memory_ + Headers(shape_))[slot];
  }
  uint8_t* buffer(uint32_t slot) const {
    return memory_ + Headers(shape_) + shape_.slots * sizeof(FrameHeader) +
           std::size_t{slot} * kFrameSlotBytes;
  }

 private:
  static uint32_t Entries(const DriverShape& shape) {
    uint32_t entries = 64;
    while (entries < shape.slots) entries *= 2;
    return entries;
  }
  static std::size_t RingBytes(const DriverShape& shape) {
    return sizeof(FrameRing) + Entries(shape) * sizeof(std::atomic<uint64_t>);
  }
  static std::size_t Headers(const DriverShape& shape) {
    return (2 * std::size_t{shape.queues} + shape.wires + 2) * RingBytes(shape);
  }
  RingEnd End(uint32_t ring) const {
    return RingEnd(reinterpret_cast<FrameRing*>(memory_ + ring * RingBytes(shape_)), entries_);
  }

  uint8_t* memory_ = nullptr;
  DriverShape shape_{};
  uint32_t entries_ = 0;
};

}  // namespace cygnet::isolation
