// TapPort: the host side. A TAP or TUN interface with virtio-net headers: the host sends
// super-packets with unfinished checksums, and accepts coalesced packets. One queue per worker.
// Frames of a TUN interface get an Ethernet header without addresses here, and lose theirs.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "device/host/flow_queues.h"
#include "device/host/tap_interface.h"
#include "device/port.h"
#include "device/port_counters.h"

namespace cygnet {

class TapPort final : public Port {
 public:
  static Result<std::unique_ptr<TapPort>> Create(const TapParams& params);
  ~TapPort() override;
  // Keeps the interface after the port is gone.
  Status Keep();
  // Control thread. Gives the host's interface the carrier, MTU and address of the wire behind it.
  Status SetCarrier(LinkStatus wire);
  Status SetMtu(uint32_t mtu);
  Status SetMac(const MacAddress& mac);

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return mac_; }
  uint32_t mtu() const override { return mtu_.load(std::memory_order_relaxed); }
  uint32_t queues() const override { return static_cast<uint32_t>(queues_.size()); }
  PortStats stats() const override;
  int ifindex() const { return ifindex_; }
  // Of an interface that ends with this port. 0: it stays (or a keeper decides that), is gone, or
  // is in another network namespace.
  int IfindexThatEnds() const;
  HostPresence presence() const;
  uint32_t largest_mtu() const { return largest_mtu_; }

  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  // -1 if the interface was removed (`ip link del`): its descriptors would always be ready.
  int wait_fd(uint32_t queue) const override;
  bool PrepareWait(uint32_t) override { return true; }  // the descriptor itself becomes readable
  void FinishWait(uint32_t) override {}

 private:
  static constexpr uint32_t kMostReads = 16;  // by one system call
  struct Read;
  struct Write;
  struct Queue {
    UniqueFd fd;
    uint32_t reads = 1;  // of the next system call
    // Each receives the rest of a long frame.
    std::array<Packet*, kMostReads> overflow{};
    PortCounters counters;
  };
  TapPort() = default;
  uint32_t PrepareReads(Queue* queue, PacketCaches* caches, std::span<Read> reads) const;
  Packet* FinishRead(const Read& read, uint32_t bytes, DropSink* sink) const;
  uint64_t ReadSome(Queue* queue, PacketBatch* out, DropSink* sink, bool* more);
  void PrepareWrite(Packet* packet, Write* write) const;
  bool AddEthernetHeader(Packet* packet) const;
  void NoticeRemoval();
  void NoteFlows(uint32_t number, std::span<Packet* const> packets);
  int DescriptorFor(uint32_t number, const Packet& packet) const;

  std::string name_;
  HostLayer layer_ = HostLayer::kEthernet;
  MacAddress mac_{};
  std::atomic<uint32_t> mtu_{0};
  uint32_t largest_mtu_ = 0;
  int ifindex_ = 0;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::unique_ptr<FlowQueues> flows_;  // of several queues
  std::atomic<bool> removed_{false};
  bool stays_ = false;  // by Keep(), or a keeper has its queues
};

}  // namespace cygnet
