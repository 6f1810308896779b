// SharedReassembler: puts together what SAs opened, for all workers. The pieces of one datagram may
// come to several workers, which are chosen by ports: an ESP packet in UDP that was itself cut
// shows no ports, the next one does.
#pragma once

#include <atomic>
#include <mutex>

#include "datapath/reassembly.h"

namespace cygnet {

// Any worker; each gives its own sink. Each call takes a lock: only fragments come here, and they
// are few.
class SharedReassembler {
 public:
  explicit SharedReassembler(uint64_t hash_seed) : reassembler_(nullptr, hash_seed) {}

  // As Reassembler::Add. `cut`: of what is returned.
  Packet* Add(DropSink* sink, Packet* packet, const IpPacketView& ip, uint64_t now_ms,
              uint64_t came_by, Reassembler::Cut* cut);
  bool Idle() const { return idle_.load(std::memory_order_relaxed); }
  void Expire(DropSink* sink, uint64_t now_ms);
  // Gives back what is held, uncounted. Before the last worker ends.
  void Clear(DropSink* sink);

 private:
  std::mutex mutex_;
  Reassembler reassembler_;  // guarded by mutex_
  std::atomic<bool> idle_{true};
};

}  // namespace cygnet
