// Cuts a TCP or UDP super-packet into its segments, and computes checksums that the host left to
// the device.
#pragma once

#include "net/flow_key.h"
#include "packet/packet_batch.h"

namespace cygnet {

// Writes the checksum that the packet's csum_start and csum_offset request. False if they are out
// of bounds.
bool FinishChecksum(Packet* packet);

// Marks the TCP or UDP checksum of the packet that `ip` describes as correct for the host. It turns
// it into a checksum left to the device, which the host accepts as correct. Other packets stay
// unchanged.
void VouchForChecksum(const IpPacketView& ip, Packet* packet);

// Iterates over the segments of one super-packet.
class Segmenter {
 public:
  // What a segment gets for a checksum.
  enum class Sum : uint8_t { kFinished, kLeftToHost };
  // REQUIRES: packet.gso_size > 0, and `ip` describes packet.l3(). False if it is not a packet of
  // the protocol that its gso_type names, with complete headers.
  bool Begin(const Packet& packet, const IpPacketView& ip, Sum sum = Sum::kFinished);
  bool Done() const { return offset_ >= end_; }
  // Length in bytes of the largest IP packet that Next() makes.
  uint32_t LargestSegment() const;
  // The next segment, complete; nullptr if the pool is empty. Sets `ip` to its view.
  Packet* Next(PacketCaches* caches, IpPacketView* ip);

 private:
  void WriteIp(uint8_t* l3, uint32_t total) const;
  void WriteTcp(uint8_t* tcp, bool last) const;
  void WriteChecksum(Packet* segment) const;

  const Packet* packet_ = nullptr;
  IpPacketView ip_;
  Sum sum_ = Sum::kFinished;
  bool tcp_ = false;
  uint32_t headers_ = 0;   // Ethernet, IP, TCP or UDP
  uint32_t upper_at_ = 0;  // of the TCP or UDP header, from the start of the frame
  uint32_t offset_ = 0;    // of the next payload byte
  uint32_t end_ = 0;       // end of the payload
  uint32_t number_ = 0;
};

}  // namespace cygnet
