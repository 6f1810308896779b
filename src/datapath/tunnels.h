// Tunnels: the tunnel interfaces of the host (kernel: net/xfrm/xfrm_interface_core.c, ip_vti.c).
// What the host sends through one is protected by the policies with its if_id or mark, or dropped;
// what SAs with its if_id or mark open comes in by it. There may be thousands, so each worker waits
// for all of them with one epoll instance.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/quiescence.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "device/port.h"

namespace cygnet {

// What the packets of a tunnel stand for in policies, and where they leave.
struct TunnelIdentity {
  uint32_t if_id = 0;    // 0: the tunnel has marks
  uint32_t mark = 0;     // of what the host sends through it (VTI: okey)
  uint32_t mark_in = 0;  // of what comes in by it (VTI: ikey)
  uint8_t device = 0;    // number of the interface that they leave by while no next hop is known
  bool operator==(const TunnelIdentity&) const = default;
};

struct Tunnel {
  uint16_t number = 0;  // never 0
  TunnelIdentity identity;
  std::unique_ptr<Port> port;  // one queue for each worker
  int32_t ifindex = 0;         // in the network namespace where the interface was made
  // Of what comes in by it (datapath/inside.h); kNoInsideScope: all goes by the interface.
  std::atomic<uint32_t> inside_scope{~uint32_t{0}};
  // What passed without the host: taken from an inside interface, sent by one. Any worker.
  struct Passed {
    std::atomic<uint64_t> packets{0}, bytes{0};
    void Count(uint64_t length) {
      packets.fetch_add(1, std::memory_order_relaxed);
      bytes.fetch_add(length, std::memory_order_relaxed);
    }
  } from_inside, to_inside;
  // Any worker. Packets that the host sent through it and that no policy of the tunnel protected.
  std::atomic<uint64_t> unprotected{0};
};

class Tunnels {
 public:
  static constexpr uint16_t kMax = 4000;
  // The number that an SA has whose tunnel does not exist.
  static constexpr uint16_t kMissing = 0xffff;

  Tunnels(uint32_t workers, Quiescence* quiescence);

  // --- Workers ---
  bool empty() const { return count_.load(std::memory_order_relaxed) == 0; }
  // nullptr: there is none with this number.
  Tunnel* at(uint16_t number) const {
    return number < kMax ? slots_[number].load(std::memory_order_acquire) : nullptr;
  }
  // Fills in the tunnels that have packets for the worker, and returns how many it filled in. A
  // tunnel that does not fit is among the first of a later call.
  static constexpr std::size_t kReadyAtOnce = 32;
  std::size_t Ready(uint32_t worker, std::span<Tunnel*, kReadyAtOnce> out) const;
  // Readable while a tunnel has packets for the worker.
  int wait_fd(uint32_t worker) const { return epolls_[worker].get(); }

  // --- Control thread ---
  // Packets may come at once.
  Result<Tunnel*> Add(const TunnelIdentity& identity, std::unique_ptr<Port> port,
                      int32_t ifindex = 0);
  // Workers may use the tunnel until they are quiescent. Its number is not given again soon.
  void Remove(uint16_t number);
  std::size_t size() const { return count_.load(std::memory_order_relaxed); }
  template <typename Fn>
  void ForEach(Fn fn) const {
    for (const auto& slot : slots_) {
      if (Tunnel* tunnel = slot.load(std::memory_order_relaxed)) fn(tunnel);
    }
  }
  // Deletes all. REQUIRES: no worker runs.
  void Clear();

 private:
  Result<uint16_t> ChooseNumber();
  Status Watch(const Tunnel& tunnel) const;

  Quiescence* const quiescence_;
  std::vector<UniqueFd> epolls_;  // one for each worker
  std::array<std::atomic<Tunnel*>, kMax> slots_{};
  std::atomic<std::size_t> count_{0};
  uint16_t last_number_ = 0;
};

}  // namespace cygnet
