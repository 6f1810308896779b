// Steps 5 to 8 of the outbound way (outbound_pipeline.h). It gathers the packets of one batch, and
// applies the transforms of their chains in rounds: one round for each transform, in it one run for
// packets of one SA that follow each other.
#pragma once

#include "datapath/item_batch.h"
#include "datapath/outbound_departure.h"
#include "datapath/path_ops.h"
#include "datapath/warm_up.h"
#include "datapath/worker_context.h"

namespace cygnet {

// One worker's.
class OutboundTransform {
 public:
  // All outlive this. `departure` takes what is through. `warm_up` is told of runs.
  OutboundTransform(WorkerContext* context, WarmUp* warm_up, OutboundDeparture* departure)
      : ctx_(context), warm_up_(warm_up), departure_(departure) {}

  // A free place in the batch. When there is none, the packets of the batch leave first, so that a
  // place claimed before may be given to another packet.
  OutboundItem* Claim() {
    if (items_.full()) Flush();
    return items_.Claim();
  }
  // The item that Claim() gave last takes part.
  void Commit() { items_.Commit(); }
  // Both in one. `view`: of the packet.
  void Add(Packet* packet, const IpPacketView& view, const SaChain& chain);

  // The batch goes through its transforms, and then to the wire.
  void Flush();

  // Has the CPU seal what the device of `interface` handed back unsealed. REQUIRES: the batch is
  // empty.
  void SealReturned(uint8_t interface, PacketBatch* returned);

  // A look-aside engine finished the job with this tag.
  void OnJobDone(uint32_t tag, CryptoStatus status) { in_flight_.Finish(tag, status); }
  // Goes on with what is finished. Returns how many packets.
  uint32_t Resume();
  const InFlight<OutboundItem>& in_flight() const { return in_flight_; }

 private:
  bool Round();
  void Leave();
  OutboundSa* ReResolveIfDead(OutboundItem* item) const;
  OutboundSa* ReResolve(OutboundItem* item) const;
  void BeginRun(OutboundSa* sa, uint16_t first_index, std::span<OutboundItem> run);
  SequenceRange ChargeAndReserve(OutboundSa* sa, std::span<OutboundItem> run);
  uint8_t KeepOrder(OutboundSa* sa, const SequenceRange& range, const SaChain& chain,
                    uint8_t egress);
  void MakeRoomForPadding(const OutboundSa& sa, uint32_t path_mtu, OutboundItem* item);
  bool FindNextHop(const SaChain& chain, MacAddress* mac, uint8_t* egress) const;
  void EndRound();
  DropReason FinishSealed(const OutboundSa& sa, Packet* packet) const;

  WorkerContext* const ctx_;
  WarmUp* const warm_up_;
  OutboundDeparture* const departure_;
  ItemBatch<OutboundItem> items_;
  InFlight<OutboundItem> in_flight_;
};

}  // namespace cygnet
