// PortCounters: what a port received and sent. Written by the thread of one queue, read by any
// thread.
#pragma once

#include <atomic>
#include <cstdint>

#include "device/port.h"

namespace cygnet {

class PortCounters {
 public:
  void Received(uint64_t packets, uint64_t bytes) {
    rx_packets_.fetch_add(packets, std::memory_order_relaxed);
    rx_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }
  void Sent(uint64_t packets, uint64_t bytes) {
    tx_packets_.fetch_add(packets, std::memory_order_relaxed);
    tx_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }
  void AddTo(PortStats* total) const {
    total->rx_packets += rx_packets_.load(std::memory_order_relaxed);
    total->rx_bytes += rx_bytes_.load(std::memory_order_relaxed);
    total->tx_packets += tx_packets_.load(std::memory_order_relaxed);
    total->tx_bytes += tx_bytes_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<uint64_t> rx_packets_{0};
  std::atomic<uint64_t> rx_bytes_{0};
  std::atomic<uint64_t> tx_packets_{0};
  std::atomic<uint64_t> tx_bytes_{0};
};

}  // namespace cygnet
