// OutboundTransform: steps 5 to 8 of the outbound pipeline (outbound_pipeline.h). It gathers the
// packets of one batch and applies the transforms of their chains in rounds: one round per
// transform, and in it one run for consecutive packets of one SA.
#pragma once

#include "datapath/item_batch.h"
#include "datapath/outbound_departure.h"
#include "datapath/path_ops.h"
#include "datapath/warm_up.h"
#include "datapath/worker_context.h"

namespace cygnet {

// The SA whose outer packets control finds a next hop for: the outermost that writes addresses, or
// else, for tunnel interfaces, the last. nullptr: the chain is empty.
const OutboundSa* AddressingSa(const SaChain& chain);

// Belongs to one worker.
class OutboundTransform {
 public:
  // All arguments outlive this object. `departure` takes the finished packets. `warm_up` counts the
  // runs.
  OutboundTransform(WorkerContext* context, WarmUp* warm_up, OutboundDeparture* departure)
      : ctx_(context), warm_up_(warm_up), departure_(departure) {}

  // Returns a free place in the batch. A full batch is flushed first, which invalidates places that
  // were claimed before.
  OutboundItem* Claim() {
    if (items_.full()) Flush();
    return items_.Claim();
  }
  // Adds the item that Claim() returned last to the batch.
  void Commit() { items_.Commit(); }
  // Claim() and Commit() in one call. `view`: of the packet.
  void Add(Packet* packet, const IpPacketView& view, const SaChain& chain);

  // Applies the transforms of the batch and hands it to departure.
  void Flush();

  // Seals on the CPU the packets that the device of `interface` handed back unsealed. REQUIRES: the
  // batch is empty.
  void SealReturned(uint8_t interface, PacketBatch* returned);

  // Call when a look-aside engine has finished the job with this tag.
  void OnJobDone(uint32_t tag, CryptoStatus status) { in_flight_.Finish(tag, status); }
  // Continues with packets whose jobs are finished. Returns their number.
  uint32_t Resume();
  const InFlight<OutboundItem>& in_flight() const { return in_flight_; }

 private:
  bool Round();
  void Leave();
  OutboundSa* ReResolveIfDead(OutboundItem* item) const;
  OutboundSa* ReResolve(OutboundItem* item) const;
  void BeginRun(OutboundSa* sa, uint16_t first_index, std::span<OutboundItem> run);
  SequenceRange ChargeAndNumber(OutboundSa* sa, std::span<OutboundItem> run);
  uint8_t KeepOrder(OutboundSa* sa, const SequenceRange& range, const SaChain& chain,
                    uint8_t egress);
  void MakeRoomForPadding(const OutboundSa& sa, uint32_t path_mtu, OutboundItem* item);
  bool FindNextHop(const SaChain& chain, MacAddress* mac, uint8_t* egress) const;
  void EndRound();

  WorkerContext* const ctx_;
  WarmUp* const warm_up_;
  OutboundDeparture* const departure_;
  ItemBatch<OutboundItem> items_;
  InFlight<OutboundItem> in_flight_;
};

}  // namespace cygnet
