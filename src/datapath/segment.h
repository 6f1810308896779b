// Cuts a TCP super-packet of the host into the segments it stands for, and finishes checksums that
// the host left to the device.
#pragma once

#include "net/flow_key.h"
#include "packet/packet_batch.h"

namespace cygnet {

// Writes the checksum that the packet's csum_start and csum_offset ask for. False: out of bounds.
bool FinishChecksum(Packet* packet);

// Vouches to the host for the TCP or UDP checksum of the packet that `ip` describes: it becomes one
// that is left to the device, which the host takes as right. Other packets stay as they are.
void VouchForChecksum(const IpPacketView& ip, Packet* packet);

// A super-packet and where the cutter is in it.
class Segmenter {
 public:
  // REQUIRES: packet->gso_size > 0 and `ip` describes packet->l3(). False: not a TCP packet whose
  // headers are all there.
  bool Begin(const Packet& packet, const IpPacketView& ip);
  bool Done() const { return offset_ >= end_; }
  // Largest IP packet that comes out.
  uint32_t LargestSegment() const;
  // The next segment, finished; nullptr when the pool is empty. `ip` becomes its view.
  Packet* Next(PacketCache* cache, IpPacketView* ip);

 private:
  const Packet* packet_ = nullptr;
  IpPacketView ip_;
  uint32_t headers_ = 0;  // Ethernet, IP, TCP
  uint32_t tcp_at_ = 0;   // of the TCP header, from the start of the frame
  uint32_t offset_ = 0;   // of the next payload byte
  uint32_t end_ = 0;      // behind the last payload byte
  uint32_t number_ = 0;
};

}  // namespace cygnet
