// Step 9 of the outbound way (outbound_pipeline.h): each packet of a batch gets its verdict and
// leaves, in fragments if need be, or is dropped.
#pragma once

#include <span>

#include "datapath/departures.h"
#include "datapath/path_ops.h"
#include "datapath/worker_context.h"

namespace cygnet {

// One worker's.
class OutboundDeparture {
 public:
  // `fragment_id`: the first identification of outer IPv6 packets that are cut.
  OutboundDeparture(WorkerContext* context, uint32_t fragment_id)
      : ctx_(context), fragment_id_(fragment_id) {}

  // Where several workers may send by one SA, its numbers leave in order. A run of the batch at
  // hand has just reserved `range` (range.count > 0). Returns OutboundItem::departure of its items.
  uint8_t KeepOrder(SequenceCounter* counter, const SequenceRange& range, uint8_t egress) {
    return order_.Add(counter, range, egress);
  }

  // Takes the packets of all items, in the order they came; to the wire go batches of one
  // interface.
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
};

}  // namespace cygnet
