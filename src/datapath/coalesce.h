// Coalescer: joins TCP segments of one flow that follow each other in a batch into one super-packet
// for the host (the inverse of segmentation; the kernel's GRO rules).
#pragma once

#include "net/flow_key.h"
#include "packet/packet_batch.h"

namespace cygnet {

// Belongs to one worker. Rewrites a batch of packets for the host. Order within a flow is kept.
// Packets that cannot be joined pass unchanged.
class Coalescer {
 public:
  void Run(PacketBatch* batch, DropSink* sink);

 private:
  struct Segment {
    bool eligible = false;
    bool pushed = false;   // PSH: nothing may be joined after it
    uint32_t headers = 0;  // Ethernet, IP, TCP
    uint32_t tcp_at = 0;
    uint32_t payload = 0;
    uint32_t seq = 0;
    IpPacketView ip;
  };
  static Segment Examine(const Packet& packet);
  static bool Continues(const Packet& first, const Segment& a, const Packet& next, const Segment& b,
                        uint32_t expected_seq);
  // Joins packets [begin, end) of the batch, all of one flow and in sequence.
  Packet* Join(const PacketBatch& batch, uint32_t begin, uint32_t end, PacketCache* cache);

  std::array<Segment, kMaxBatch> segments_;
};

}  // namespace cygnet
