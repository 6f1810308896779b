#include "datapath/shared_reassembler.h"

namespace cygnet {

Packet* SharedReassembler::Add(DropSink* sink, Packet* packet, const IpPacketView& ip,
                               uint64_t now_ms, uint64_t came_by, Reassembler::Cut* cut) {
  const std::lock_guard lock(mutex_);
  reassembler_.Use(sink);
  Packet* whole = reassembler_.Add(packet, ip, now_ms, came_by);
  *cut = reassembler_.last_cut();
  idle_.store(reassembler_.Idle(), std::memory_order_relaxed);
  return whole;
}

void SharedReassembler::Expire(DropSink* sink, uint64_t now_ms) {
  const std::lock_guard lock(mutex_);
  reassembler_.Use(sink);
  reassembler_.Expire(now_ms);
  idle_.store(reassembler_.Idle(), std::memory_order_relaxed);
}

void SharedReassembler::Clear(DropSink* sink) {
  const std::lock_guard lock(mutex_);
  reassembler_.Use(sink);
  reassembler_.Clear();
  idle_.store(true, std::memory_order_relaxed);
}

}  // namespace cygnet
