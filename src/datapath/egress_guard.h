// The guard at one wire: no packet that policy protects leaves in clear. It relies on no status
// that others have noted: ESP packets have to show their seal, and for every other frame policy is
// asked once more.
#pragma once

#include <memory>
#include <vector>

#include "datapath/data_path.h"
#include "device/egress_guard.h"

namespace cygnet {

class PolicyGuard final : public EgressGuard {
 public:
  // Set-up only: `path` gets a reader for each of the port's `queues`. `interface`: the wire's
  // index in path->interfaces, which may still have to be added. `capture`: where copies of what is
  // stopped go; outlives the guard, as `path` does.
  PolicyGuard(DataPath* path, uint8_t interface, uint32_t queues, CapturePoint* capture);

  void Check(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  void Report(const Packet& packet, DropReason reason) override;
  EgressGuardStats stats() const override;

 private:
  static constexpr uint32_t kEntries = 1024;  // power of two

  // A flow that may leave in clear while the generation lasts.
  struct Passing {
    FlowKey flow;
    uint64_t generation = 0;
    bool later_fragment = false;
  };
  // One sending thread's.
  struct alignas(kCacheLine) Queue {
    Quiescence::Reader* reader = nullptr;
    bool online = false;
    std::vector<Passing> passing;
    std::atomic<uint64_t> checked{0};
  };

  DropReason Judge(Queue* queue, const Packet& packet) const;
  DropReason JudgeClear(Queue* queue, const Packet& packet) const;
  void Stop(const Packet& packet, DropReason reason);
  DropReason AskPolicy(Queue* queue, const Packet& packet, const IpPacketView& ip) const;

  DataPath* const path_;
  const uint8_t interface_;
  CapturePoint* const capture_;
  std::vector<std::unique_ptr<Queue>> queues_;
  // Rarely written.
  std::atomic<uint64_t> clear_{0}, unsealed_{0}, engine_unsealed_{0}, changed_{0};
};

}  // namespace cygnet
