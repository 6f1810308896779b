// MemoryPort: a port between two queues in memory, for tests and benchmarks.
#pragma once

#include <string>
#include <vector>

#include "device/port.h"

namespace cygnet {

// A queue that allocates only when it grows, so that it does not disturb measurements.
class PacketFifo {
 public:
  explicit PacketFifo(std::size_t capacity = 1024) : ring_(capacity) {}
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  Packet* front() const { return ring_[head_]; }
  Packet* operator[](std::size_t i) const { return ring_[(head_ + i) % ring_.size()]; }
  // Inline always, because benchmarks measure what is around it.
  [[gnu::always_inline]] void push_back(Packet* packet) {
    if (size_ == ring_.size()) Grow();
    ring_[(head_ + size_++) % ring_.size()] = packet;
  }
  void pop_front() {
    head_ = (head_ + 1) % ring_.size();
    --size_;
  }

 private:
  [[gnu::noinline]] void Grow() {
    std::vector<Packet*> bigger(ring_.size() * 2);
    for (std::size_t i = 0; i < size_; ++i) bigger[i] = (*this)[i];
    ring_.swap(bigger);
    head_ = 0;
  }
  std::vector<Packet*> ring_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

// Single-threaded. Transmitted packets go to `sent`; packets put into `arriving` are received.
class MemoryPort final : public Port {
 public:
  explicit MemoryPort(std::string name, uint32_t mtu = 1500) : name_(std::move(name)), mtu_(mtu) {}
  ~MemoryPort() override;

  bool takes_super_packets = false;
  PacketFifo arriving;
  PacketFifo sent;

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return {2, 0, 0, 0, 0, 1}; }
  uint32_t mtu() const override { return mtu_; }
  uint32_t queues() const override { return 1; }
  PortStats stats() const override { return stats_; }
  bool TakesSuperPackets() const override { return takes_super_packets; }
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  int wait_fd(uint32_t) const override { return -1; }
  bool PrepareWait(uint32_t) override { return arriving.empty(); }
  void FinishWait(uint32_t) override {}

 private:
  const std::string name_;
  const uint32_t mtu_;
  PortStats stats_;
};

inline MemoryPort::~MemoryPort() {
  for (PacketFifo* queue : {&arriving, &sent}) {
    for (; !queue->empty(); queue->pop_front()) {
      Packet* packet = queue->front();
      packet->pool->Give(&packet, 1);
    }
  }
}

inline uint32_t MemoryPort::Receive(uint32_t, PacketBatch* out, DropSink*) {
  uint32_t n = 0;
  for (; !out->full() && !arriving.empty(); arriving.pop_front(), ++n) {
    Packet* packet = arriving.front();
    packet->offload = OffloadMeta{};  // a frame carries no marks of its sender
    stats_.rx_bytes += packet->length;
    out->Push(packet);
  }
  stats_.rx_packets += n;
  return n;
}

inline void MemoryPort::Transmit(uint32_t, PacketBatch* batch, DropSink*) {
  for (Packet* packet : batch->packets()) {
    stats_.tx_bytes += packet->length;
    sent.push_back(packet);
  }
  stats_.tx_packets += batch->size();
  batch->ReleaseAll();
}

}  // namespace cygnet
