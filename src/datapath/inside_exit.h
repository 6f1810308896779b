// InsideExit: where packets leave that an SA opened for a host behind an inside interface. The end
// of inbound step 10 (inbound_pipeline.h), which the general and the straight way share.
#pragma once

#include "datapath/worker_context.h"
#include "net/flow_key.h"

namespace cygnet {

// Of one flow. Valid until the worker's next quiescent state.
class InsideExit {
 public:
  // Looks for the host that `flow` leads to. `packet`: one of the flow, whose tunnel or device is
  // known.
  void Look(const DataPath& path, const Packet& packet, const FlowKey& flow);
  // Prepares a packet of the flow: names the interface in it and makes its frame. What needs more
  // than a router's usual work goes by the host: the kernel cuts it, or tells its sender why it
  // cannot. False: the packet goes by the host, and is unchanged. `length`: of the IP packet.
  // `plain`: it has no options, and was not joined from fragments. REQUIRES: policy let it pass.
  bool Leave(WorkerContext* ctx, uint32_t length, bool plain, Packet* packet) const;

 private:
  enum class Way : uint8_t {
    kHost,     // the flow is none of an inside interface
    kUnknown,  // its host may be behind one, but control has not named it
    kBarred,   // not this flow, or not now
    kOpen,
  };
  Way way_ = Way::kHost;
  InsideHost* host_ = nullptr;
  const InsideInterface* to_ = nullptr;
  FlowKey flow_;  // kUnknown
};

// Sends packets that InsideExit has prepared for this interface.
void SendInside(WorkerContext* ctx, InsideInterface* to, PacketBatch* batch);

}  // namespace cygnet
