#include "plugin/isolation/frame_slots.h"

#include <algorithm>
#include <cstring>
#include <mutex>

namespace cygnet::isolation {
namespace {

// The compiler does not read shared memory a second time behind this.
FrameHeader ReadOnce(const FrameHeader& shared) {
  FrameHeader copy;
  std::memcpy(&copy, &shared, sizeof(copy));
  asm volatile("" : : : "memory");
  copy.reason[kReasonBytes - 1] = 0;
  return copy;
}

bool IsUntouched(uint8_t status) {
  return status == CYGNET_PACKET_RETURNED || status == CYGNET_PACKET_RETURNED_CLEAR;
}

}  // namespace

FrameSlots::FrameSlots(const DriverMemory& memory)
    : memory_(memory), slots_(std::make_unique<Slot[]>(memory.shape().slots)) {
  free_.reserve(memory.shape().slots);
  for (uint32_t slot = memory.shape().slots; slot > 0; --slot) free_.push_back(slot - 1);
}

uint32_t FrameSlots::Room(FrameOrigin origin) const {
  const DriverShape& shape = memory_.shape();
  uint32_t most = kSlotsForStock;
  // Workers that ask at the same time may all get the last places: a burst of each is kept free.
  if (origin == FrameOrigin::kSend) most = (kSlotsForQueue - CYGNET_BURST) * shape.queues;
  if (origin == FrameOrigin::kWire) most = kSlotsForWire * shape.wires;
  const uint32_t used = used_[static_cast<std::size_t>(origin)].load(std::memory_order_relaxed);
  return used >= most ? 0 : most - used;
}

uint32_t FrameSlots::Give(FrameOrigin origin, uint32_t queue, cygnet_packet* packet) {
  uint32_t number = 0;
  {
    const std::lock_guard lock(lock_);
    number = free_.back();
    free_.pop_back();
  }
  used_[static_cast<std::size_t>(origin)].fetch_add(1, std::memory_order_relaxed);
  Slot& slot = slots_[number];
  slot.origin = origin;
  slot.queue = queue;
  slot.to_seal = IsToSeal(*packet);
  // The child has the host's layout, as far as its slot is long enough.
  slot.shown_head = std::min(packet->head, kHeadroom);
  slot.shown_capacity =
      std::min(kFrameSlotBytes, slot.shown_head + (packet->capacity - packet->head));
  FrameHeader& header = memory_.header(number);
  header.capacity = slot.shown_capacity;
  header.head = slot.shown_head;
  header.length = packet->length;
  header.handle = packet->handle;
  header.esn_high = packet->esn_high;
  header.sa_number = packet->sa_number;
  header.l3_offset = packet->l3_offset;
  header.esp_offset = packet->esp_offset;
  header.status = packet->status;
  header.flags = packet->flags;
  std::memcpy(memory_.buffer(number) + slot.shown_head, packet->buffer + packet->head,
              packet->length);
  slot.packet.store(packet, std::memory_order_release);
  return number;
}

void FrameSlots::Free(uint32_t number) {
  const std::lock_guard lock(lock_);
  free_.push_back(number);
}

// nullptr: done. The frame may have moved within its buffer (packet offload).
const char* FrameSlots::CopyOut(const Slot& slot, uint32_t number, const FrameHeader& header,
                                cygnet_packet* packet) const {
  if (header.head > slot.shown_capacity || header.length > slot.shown_capacity - header.head) {
    return "it gave back a packet beyond its buffer";
  }
  const int64_t head = int64_t{packet->head} + header.head - slot.shown_head;
  if (head < 0 || head + header.length > packet->capacity) {
    return "it gave back a packet that does not fit into its buffer";
  }
  std::memcpy(packet->buffer + head, memory_.buffer(number) + header.head, header.length);
  packet->head = static_cast<uint32_t>(head);
  packet->length = header.length;
  packet->l3_offset = header.l3_offset;
  packet->handle = header.handle;
  packet->esn_high = header.esn_high;
  packet->sa_number = header.sa_number;
  return nullptr;
}

FrameSlots::Returned FrameSlots::TakeBack(uint32_t number) {
  Returned back;
  if (number >= memory_.shape().slots) {
    back.breach = "it gave back a packet that does not exist";
    return back;
  }
  Slot& slot = slots_[number];
  // An exchange, so that of two rings with the same slot one is caught.
  cygnet_packet* packet = slot.packet.exchange(nullptr, std::memory_order_acq_rel);
  if (packet == nullptr) {
    back.breach = "it gave back a packet that it does not own";
    return back;
  }
  back.origin = slot.origin;
  back.header = ReadOnce(memory_.header(number));
  if (!IsUntouched(back.header.status)) {
    back.breach = CopyOut(slot, number, back.header, packet);
  }
  used_[static_cast<std::size_t>(slot.origin)].fetch_sub(1, std::memory_order_relaxed);
  Free(number);
  if (back.breach != nullptr) {
    back.lost = packet;
    return back;
  }
  packet->status = back.header.status;
  back.packet = packet;
  return back;
}

}  // namespace cygnet::isolation
