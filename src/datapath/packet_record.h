// PacketRecord: a worker's part of a capture that shows both sides of a link. It offers packets in
// clear to the point of the host-side interface (CapturePoints::inner), with the ESP packet that
// each became or came by. While no such capture runs it costs one relaxed load for each run.
#pragma once

#include <span>
#include <vector>

#include "datapath/data_path.h"
#include "device/capture.h"
#include "packet/drop_watch.h"
#include "sa/sa.h"

namespace cygnet {

struct InboundItem;
struct OutboundItem;

class PacketRecord final : public DropWatch {
 public:
  explicit PacketRecord(const DataPath* path) : DropWatch(&path->inner_readers), path_(*path) {}

  // Call them only while on().

  // Outbound, REQUIRES: one EndRun after each BeginRun. Keeps what a transform is about to
  // overwrite. Each packet is offered when the transform is prepared, because only then it is known
  // whether the device seals it. A packet without room for ESP, or of a blocked SA, is not: it is
  // seen when it is dropped.
  void BeginRun(std::span<const OutboundItem> run);
  void EndRun(const OutboundSa& sa, uint64_t first_seq, std::span<const OutboundItem> run);

  // Inbound: `item` is what `sa` has opened. `status`: what a device reported about the packet.
  void Opened(const InboundSa& sa, OffloadStatus status, const InboundItem& item);
  // The same at the end of a run: the item has its verdict. If that is a drop, the sink need not
  // show it again. A reassembled packet passes unseen, because its fragments were offered.
  void Completed(const InboundSa& sa, OffloadStatus status, InboundItem* item);

  // A packet that policy lets pass in clear.
  void Clear(const Packet& packet, CaptureDirection direction);

 private:
  struct Kept {
    std::vector<uint8_t> bytes;
    uint8_t interface = 0;
  };
  void See(const Packet& packet, DropReason reason) override;
  void Offer(uint8_t interface, std::span<const uint8_t> bytes, const CaptureFacts& facts) const;

  const DataPath& path_;
  std::vector<Kept> kept_;  // of the present run; never shrinks
};

}  // namespace cygnet
