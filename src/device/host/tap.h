// TapPort: the host side. A TAP interface with virtio-net headers: the host hands over
// super-packets with unfinished checksums, and takes coalesced ones. One queue per worker.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "device/host/tap_interface.h"
#include "device/port.h"
#include "device/port_counters.h"

namespace cygnet {

class TapPort final : public Port {
 public:
  static Result<std::unique_ptr<TapPort>> Create(const TapParams& params);
  ~TapPort() override;
  // The interface outlives the port.
  Status Keep();
  // Control thread. The host sees the link of the wire behind: its carrier, size and address.
  Status SetCarrier(LinkStatus wire);
  Status SetMtu(uint32_t mtu);
  Status SetMac(const MacAddress& mac);
  static uint32_t LargestMtu();

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return mac_; }
  uint32_t mtu() const override { return mtu_.load(std::memory_order_relaxed); }
  uint32_t queues() const override { return static_cast<uint32_t>(queues_.size()); }
  PortStats stats() const override;
  int ifindex() const { return ifindex_; }

  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  // Of an interface that was removed (`ip link del`) none: its descriptors are ready for ever.
  int wait_fd(uint32_t queue) const override;
  bool PrepareWait(uint32_t) override { return true; }  // the descriptor itself tells
  void FinishWait(uint32_t) override {}

 private:
  struct Queue {
    UniqueFd fd;
    Packet* overflow = nullptr;  // where the rest of a long frame is read to
    PortCounters counters;
  };
  TapPort() = default;
  Packet* ReceiveOne(Queue* queue, DropSink* sink, bool* more);
  void NoticeRemoval();
  int DescriptorFor(uint32_t number, const Packet& packet) const;

  std::string name_;
  MacAddress mac_{};
  std::atomic<uint32_t> mtu_{0};
  int ifindex_ = 0;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::atomic<bool> removed_{false};
};

}  // namespace cygnet
