// WorkerLoad: what a worker does with its time. Only that worker writes it.
#pragma once

#include <atomic>
#include <cstdint>

namespace cygnet {

class WorkerLoad {
 public:
  // Since the start.
  struct Sums {
    uint64_t busy_us = 0;  // in turns that moved packets
    uint64_t packets = 0;  // received, from wires and hosts
  };

  void Add(uint64_t busy_ns, uint64_t packets) {
    Add(&busy_ns_, busy_ns);
    Add(&packets_, packets);
  }
  // Any thread.
  Sums sums() const {
    return {.busy_us = busy_ns_.load(std::memory_order_relaxed) / 1000,
            .packets = packets_.load(std::memory_order_relaxed)};
  }

 private:
  static void Add(std::atomic<uint64_t>* count, uint64_t n) {
    count->store(count->load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::atomic<uint64_t> busy_ns_{0};
  std::atomic<uint64_t> packets_{0};
};

}  // namespace cygnet
