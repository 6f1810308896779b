// OutboundDeparture: step 9 of the outbound pipeline (outbound_pipeline.h). Each packet of a batch
// gets its verdict, and either leaves (in fragments if necessary) or is dropped.
#pragma once

#include <span>

#include "datapath/departures.h"
#include "datapath/path_ops.h"
#include "datapath/worker_context.h"

namespace cygnet {

// Belongs to one worker.
class OutboundDeparture {
 public:
  // `fragment_id`: the first identification for fragmented outer IPv6 packets.
  OutboundDeparture(WorkerContext* context, uint32_t fragment_id)
      : ctx_(context), fragment_id_(fragment_id) {}

  // Keeps an SA's sequence numbers in order if several workers may send through it. A run of the
  // current batch has just reserved `range`. Returns OutboundItem::departure_run for its items.
  // REQUIRES: range.count > 0.
  uint8_t KeepOrder(SequenceCounter* counter, const SequenceRange& range, uint8_t egress) {
    return order_.Add(counter, range, egress);
  }

  // Takes the packets of all items, in order of arrival. Sends them in one batch per interface.
  void SendAll(std::span<const OutboundItem> items);

 private:
  void SendBy(uint8_t egress, std::span<const OutboundItem> items);
  DropReason Verdict(const OutboundItem& item) const;
  void Refuse(const OutboundItem& item, DropReason reason);
  void Send(const OutboundItem& item, uint32_t wire_mtu, PacketBatch* batch);
  void Transmit(uint8_t egress, PacketBatch* batch);

  WorkerContext* const ctx_;
  Departures order_;
  uint32_t fragment_id_;
  bool recorded_ = false;  // a capture shows the packets of this batch
};

}  // namespace cygnet
