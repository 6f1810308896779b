// SharedReassembler: reassembles opened packets for all workers. The pieces of one datagram may
// arrive at several workers, because workers are chosen by ports: an ESP packet in UDP that was
// itself fragmented shows no ports, but the next one does.
#pragma once

#include <atomic>
#include <mutex>

#include "datapath/reassembly.h"

namespace cygnet {

// Any worker may call it, each with its own sink. Each call takes a lock, which is acceptable
// because it handles only fragments, and they are rare.
class SharedReassembler {
 public:
  explicit SharedReassembler(uint64_t hash_seed) : reassembler_(nullptr, hash_seed) {}

  // As Reassembler::Add. `cut`: set for the returned packet.
  Packet* Add(DropSink* sink, Packet* packet, const IpPacketView& ip, uint64_t now_ms,
              uint64_t came_by, Reassembler::Cut* cut);
  bool Idle() const { return idle_.load(std::memory_order_relaxed); }
  void Expire(DropSink* sink, uint64_t now_ms);
  // Recycles the held fragments without counting them as drops. Call before the last worker ends.
  void Clear(DropSink* sink);

 private:
  std::mutex mutex_;
  Reassembler reassembler_;  // guarded by mutex_
  std::atomic<bool> idle_{true};
};

}  // namespace cygnet
