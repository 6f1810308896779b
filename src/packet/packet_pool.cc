#include "packet/packet_pool.h"

#include <sys/mman.h>

#include <mutex>

namespace cygnet {

PacketPool::PacketPool(uint32_t count, uint32_t capacity, uint32_t headroom)
    : count_(count),
      capacity_((capacity + 63) & ~63u),
      headroom_(headroom),
      packets_(std::make_unique<Packet[]>(count)) {
  CYGNET_CHECK(headroom < capacity);
  memory_bytes_ = std::size_t{count_} * capacity_;
  if (count_ == 0) return;
  void* p =
      mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CYGNET_CHECK(p != MAP_FAILED);
  // Packets hold users' plaintext: keep it out of core dumps.
  (void)madvise(p, memory_bytes_, MADV_DONTDUMP);
  memory_ = static_cast<uint8_t*>(p);
  free_.reserve(count_);
  for (uint32_t i = count_; i-- > 0;) {
    packets_[i].buffer = memory_ + std::size_t{i} * capacity_;
    packets_[i].SetCapacity(capacity_);
    packets_[i].pool = this;
    free_.push_back(&packets_[i]);
  }
}

PacketPool::~PacketPool() {
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

uint32_t PacketPool::Available() const {
  const std::lock_guard lock(lock_);
  return static_cast<uint32_t>(free_.size());
}

uint32_t PacketPool::Take(Packet** out, uint32_t n) {
  const std::lock_guard lock(lock_);
  const uint32_t have = static_cast<uint32_t>(free_.size());
  n = n < have ? n : have;
  for (uint32_t i = 0; i < n; ++i) {
    out[i] = free_.back();
    free_.pop_back();
  }
  return n;
}

void PacketPool::Give(Packet* const* packets, uint32_t n) {
  const std::lock_guard lock(lock_);
  for (uint32_t i = 0; i < n; ++i) {
    free_.push_back(packets[i]);
  }
}

PacketPools::PacketPools(uint32_t small_count, uint32_t jumbo_count, uint32_t large_count)
    : small(small_count, kSmallPacketBytes, kPacketHeadroom),
      jumbo(jumbo_count, kJumboPacketBytes, kPacketHeadroom),
      large(large_count, kLargePacketBytes, kPacketHeadroom) {}

}  // namespace cygnet
