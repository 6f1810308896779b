#include "conformance/memory_wire.h"

#include <cstring>
#include <utility>

namespace cygnet::conformance {

void MemoryWire::Feed(uint32_t queue, Bytes frame) {
  {
    const std::lock_guard lock(mutex_);
    arriving_[queue].push_back(std::move(frame));
  }
  bells_[queue].Ring();
}

std::vector<Bytes> MemoryWire::TakeSent() {
  const std::lock_guard lock(mutex_);
  return std::exchange(kept_, {});
}

uint32_t MemoryWire::Receive(uint32_t queue, PacketBatch* out, DropSink* sink) {
  const std::lock_guard lock(mutex_);
  std::deque<Bytes>& arriving = arriving_[queue];
  uint32_t n = 0;
  for (; !arriving.empty() && !out->full(); arriving.pop_front(), ++n) {
    const Bytes& frame = arriving.front();
    Packet* packet = sink->caches()->TakeFor(static_cast<uint32_t>(frame.size()));
    if (packet == nullptr) break;
    std::memcpy(packet->Append(static_cast<uint32_t>(frame.size())), frame.data(), frame.size());
    packet->l3_offset = kEthernetHeader;
    out->Push(packet);
  }
  return n;
}

void MemoryWire::Transmit(uint32_t, PacketBatch* batch, DropSink* sink) {
  sent_.fetch_add(batch->size(), std::memory_order_relaxed);
  if (!discard_.load(std::memory_order_relaxed)) {
    const std::lock_guard lock(mutex_);
    for (const Packet* packet : batch->packets()) {
      kept_.emplace_back(packet->bytes().begin(), packet->bytes().end());
    }
  }
  for (Packet* packet : batch->packets()) sink->Recycle(packet);
  batch->ReleaseAll();
}

bool MemoryWire::PrepareWait(uint32_t queue) {
  bells_[queue].Arm();
  const std::lock_guard lock(mutex_);
  return arriving_[queue].empty();
}

}  // namespace cygnet::conformance
