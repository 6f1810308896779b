// DropWatch: sees each packet that a DropSink drops, while somebody watches.
#pragma once

#include <atomic>
#include <cstdint>

#include "packet/drop_reason.h"
#include "packet/packet.h"

namespace cygnet {

class DropWatch {
 public:
  // `watchers`: 0 while nobody watches; outlives this.
  explicit DropWatch(const std::atomic<uint32_t>* watchers) : watchers_(watchers) {}
  DropWatch(const DropWatch&) = delete;
  DropWatch& operator=(const DropWatch&) = delete;

  // Any thread. Costs one relaxed load while nobody watches.
  bool on() const { return watchers_->load(std::memory_order_relaxed) != 0; }
  void Offer(const Packet& packet, DropReason reason) {
    if (on()) See(packet, reason);
  }

 protected:
  ~DropWatch() = default;
  virtual void See(const Packet& packet, DropReason reason) = 0;

 private:
  const std::atomic<uint32_t>* const watchers_;
};

}  // namespace cygnet
