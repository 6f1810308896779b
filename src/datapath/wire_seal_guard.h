// WireSealGuard: the seal guard of one wire. No packet that policy protects leaves in clear. The
// guard trusts no recorded status: an ESP packet must show its seal, and every other frame is
// checked against policy again.
#pragma once

#include <memory>
#include <vector>

#include "datapath/data_path.h"
#include "datapath/shadow/wire_shadow.h"
#include "device/seal_guard.h"

namespace cygnet {

class WireSealGuard final : public SealGuard {
 public:
  // Set-up only: adds a reader to `path` for each of the port's `queues`. `interface`: the wire's
  // index in path->interfaces; the entry may be added later. `capture`: receives copies of stopped
  // packets. `path` and `capture` outlive the guard.
  WireSealGuard(DataPath* path, uint8_t interface, uint32_t queues, CapturePoint* capture);
  // Set-up only: the wire belongs to a device whose packets may be verified. The engines outlive
  // the guard.
  void SetShadow(DeviceShadow* shadow, const EngineSet& engines);

  void Check(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  void Report(const Packet& packet, DropReason reason) override;
  SealGuardStats stats() const override;

 private:
  static constexpr uint32_t kEntries = 1024;  // power of two

  // A flow that may leave in clear as long as the generation is unchanged.
  struct Passing {
    FlowKey flow;
    uint64_t generation = 0;
    bool later_fragment = false;
  };
  // Belongs to one sending thread.
  struct alignas(kCacheLine) Queue {
    Quiescence::Reader* reader = nullptr;
    bool online = false;
    std::vector<Passing> passing;
    std::atomic<uint64_t> checked{0};
  };

  DropReason Judge(Queue* queue, const Packet& packet) const;
  DropReason JudgeClear(Queue* queue, const Packet& packet) const;
  DropReason JudgeShadow(Queue* queue, const Packet& packet) const;
  static void EnterQueue(Queue* queue);
  void Stop(const Packet& packet, DropReason reason);
  DropReason AskPolicy(Queue* queue, const Packet& packet, const IpPacketView& ip) const;

  DataPath* const path_;
  const uint8_t interface_;
  CapturePoint* const capture_;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::unique_ptr<WireShadow> shadow_;
  // Rarely written.
  std::atomic<uint64_t> clear_{0}, unsealed_{0}, engine_unsealed_{0}, changed_{0};
};

}  // namespace cygnet
