// The memory of one queue of an isolated engine: two rings of one producer and one consumer, and a
// slot for each job in flight. The host copies a job in, and its result out; the child's plug-in
// works in the slot.
#pragma once

#include <cygnet/engine.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cygnet::isolation {

// Functions of cygnet_engine, as bits of Description::functions.
enum EngineFunctions : uint32_t {
  kHasOpen = 1u << 0,
  kHasClose = 1u << 1,
  kHasIdentity = 1u << 2,
  kHasLimits = 1u << 3,
  kHasState = 1u << 4,
  kHasSupports = 1u << 5,
  kHasSessionCreate = 1u << 6,
  kHasSessionDestroy = 1u << 7,
  kHasQueueCreate = 1u << 8,
  kHasQueueDestroy = 1u << 9,
  kHasSubmit = 1u << 10,
  kHasPoll = 1u << 11,
  kHasWait = 1u << 12,
};

// --- Slots: what is authenticated in front of the text, the text, the ICV ---

inline constexpr uint32_t kFrontBytes = 64;
inline constexpr uint32_t kTextBytes = 9728;  // a packet of 9000 bytes, and more
inline constexpr uint32_t kIcvBytes = 64;
inline constexpr uint32_t kSlotBytes = kFrontBytes + kTextBytes + kIcvBytes;
inline constexpr uint32_t kMaxDepth = 4096;

// Written by the host; the text is at kFrontBytes of the slot.
struct JobHeader {
  uint64_t session;  // the plug-in's pointer
  uint32_t generation;
  uint32_t text_length;
  uint32_t aad_length;
  uint32_t front;  // bytes from auth_begin to the text
  uint32_t esn_high;
  uint32_t append_esn_high;
  uint8_t nonce[CYGNET_NONCE_BYTES];
  uint8_t aad[CYGNET_MAX_AAD_BYTES];
};

// A completion in one word, so that it is read at once.
struct Completion {
  uint32_t slot;        // 24 bits
  uint32_t status;      // 8 bits
  uint32_t generation;  // of the job
};
inline uint64_t Pack(const Completion& c) {
  return uint64_t{c.generation} << 32 | (c.status & 0xff) << 24 | (c.slot & 0xffffff);
}
inline Completion Unpack(uint64_t word) {
  return {.slot = static_cast<uint32_t>(word) & 0xffffff,
          .status = static_cast<uint32_t>(word) >> 24,
          .generation = static_cast<uint32_t>(word >> 32)};
}

struct RingHeader {
  // Written by the host. Jobs in flight are never more than the ring holds, so that nobody needs to
  // know how far the reader is.
  alignas(64) std::atomic<uint32_t> submitted;
  std::atomic<uint32_t> host_sleeps;
  // Written by the child.
  alignas(64) std::atomic<uint32_t> completed;
  std::atomic<uint32_t> child_sleeps;
  alignas(64) std::atomic<uint32_t> beat;  // turns of the child's thread
};

// Where the parts of a queue of `depth` jobs are.
struct RingLayout {
  explicit RingLayout(uint32_t jobs) : depth(jobs), entries(1) {
    while (entries < depth) entries *= 2;
    submissions = sizeof(RingHeader);
    completions = submissions + entries * sizeof(std::atomic<uint64_t>);
    headers = completions + entries * sizeof(std::atomic<uint64_t>);
    slots = (headers + depth * sizeof(JobHeader) + 4095) / 4096 * 4096;
    bytes = (slots + std::size_t{depth} * kSlotBytes + 4095) / 4096 * 4096;
  }
  uint32_t depth;
  uint32_t entries;  // of each ring; a power of two
  std::size_t submissions, completions, headers, slots, bytes;
};

// The mapped memory.
class RingView {
 public:
  RingView() = default;
  RingView(void* memory, const RingLayout& layout)
      : memory_(static_cast<uint8_t*>(memory)), layout_(layout) {}

  RingHeader& header() const { return *reinterpret_cast<RingHeader*>(memory_); }
  // Entry of the n-th job that was submitted or completed.
  std::atomic<uint64_t>& submission(uint32_t n) const { return Entry(layout_.submissions, n); }
  std::atomic<uint64_t>& completion(uint32_t n) const { return Entry(layout_.completions, n); }
  // REQUIRES: slot < depth.
  JobHeader& job(uint32_t slot) const {
    return reinterpret_cast<JobHeader*>(memory_ + layout_.headers)[slot];
  }
  uint8_t* text(uint32_t slot) const {
    return memory_ + layout_.slots + std::size_t{slot} * kSlotBytes + kFrontBytes;
  }
  const RingLayout& layout() const { return layout_; }

 private:
  std::atomic<uint64_t>& Entry(std::size_t ring, uint32_t n) const {
    return reinterpret_cast<std::atomic<uint64_t>*>(memory_ + ring)[n & (layout_.entries - 1)];
  }
  uint8_t* memory_ = nullptr;
  RingLayout layout_{0};
};

}  // namespace cygnet::isolation
