// FrameSlots: the slots of an isolated driver on the host's side. Each slot that the child has
// stands for one packet of the host, which is not touched before the child gives the slot back.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/spin_lock.h"
#include "plugin/isolation/driver_ring.h"

namespace cygnet::isolation {

// How a packet came to the child.
enum class FrameOrigin : uint8_t { kSend, kWire, kStock };

inline bool IsToSeal(const cygnet_packet& packet) {
  return packet.status == CYGNET_PACKET_SEAL_REQUESTED ||
         packet.status == CYGNET_PACKET_PROTECT_REQUESTED;
}

class FrameSlots {
 public:
  explicit FrameSlots(const DriverMemory& memory);

  // How many more packets of an origin may be with the child now. Any thread.
  uint32_t Room(FrameOrigin origin) const;
  // False: the frame is longer than a slot.
  static bool Fits(const cygnet_packet& packet) { return packet.length <= kFrameBytes; }
  // Copies the frame into a slot. The packet is the child's. REQUIRES: Room and Fits. Any thread.
  uint32_t Give(FrameOrigin origin, uint32_t queue, cygnet_packet* packet);

  // A slot that came back. nullptr: the child does not have it, or what it wrote is not a frame of
  // its buffer; then `breach` tells what is wrong. Then the packet, if there is one, is in `lost`.
  // With `untouched` the packet stays as the host gave it. Any thread.
  struct Returned {
    cygnet_packet* packet = nullptr;
    FrameOrigin origin = FrameOrigin::kSend;
    const char* breach = nullptr;
    cygnet_packet* lost = nullptr;
    FrameHeader header{};  // a copy
  };
  Returned TakeBack(uint32_t slot);

  // After a failure: takes back, unseen, the packets for which `wanted` is true; at most `room`.
  // Begins at *from and leaves there where it stopped. `wanted` gets the origin, the queue, and
  // whether the packet came to be sealed: not the packet, which another thread may take meanwhile.
  template <typename Wanted>
  uint32_t Recover(uint32_t* from, Wanted wanted, cygnet_packet** packets, uint32_t room) {
    uint32_t n = 0;
    for (; *from < memory_.shape().slots && n < room; ++*from) {
      Slot& slot = slots_[*from];
      cygnet_packet* packet = slot.packet.load(std::memory_order_acquire);
      if (packet == nullptr || !wanted(slot.origin, slot.queue, slot.to_seal)) continue;
      packet = slot.packet.exchange(nullptr, std::memory_order_acq_rel);
      if (packet != nullptr) packets[n++] = packet;
    }
    return n;
  }

 private:
  struct Slot {
    std::atomic<cygnet_packet*> packet{nullptr};  // nullptr: the child does not have it
    uint32_t shown_head = 0;
    uint32_t shown_capacity = 0;
    uint32_t queue = 0;
    FrameOrigin origin = FrameOrigin::kSend;
    bool to_seal = false;
  };

  const char* CopyOut(const Slot& slot, uint32_t number, const FrameHeader& header,
                      cygnet_packet* packet) const;
  void Free(uint32_t number);

  const DriverMemory memory_;
  const std::unique_ptr<Slot[]> slots_;
  std::atomic<uint32_t> used_[3]{};
  SpinLock lock_;  // guards free_
  std::vector<uint32_t> free_;
};

// Slots of each kind for a device of this many queues.
inline constexpr uint32_t kSlotsForQueue = 256;
inline constexpr uint32_t kSlotsForWire = 256;
inline constexpr uint32_t kSlotsForStock = 64;

}  // namespace cygnet::isolation
