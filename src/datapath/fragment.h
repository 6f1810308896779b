// Cuts an ESP packet that exceeds the path MTU into fragments (RFC 4303 section 3.3.4:
// fragmentation comes after ESP). IPv4 if DF allows it (RFC 791); IPv6 because this host is the
// source of the outer packet (RFC 8200 section 4.5).
#pragma once

#include <array>
#include <cstdint>

#include "net/flow_key.h"
#include "packet/packet_batch.h"

namespace cygnet {

// Iterates over the fragments of one packet. The packet is not changed and must outlive the
// Fragmenter.
class Fragmenter {
 public:
  // `ip` describes packet.l3(). `mtu`: the largest IP packet that a fragment may be, in bytes.
  // `id`: IPv6 identification, unique to this packet, from a counter with a random start (RFC
  // 7739); IPv4 keeps its own. Returns false if the packet may not or cannot be cut: it fits, has
  // DF, is a fragment, waits for a device to seal it, or its headers leave no room for data.
  bool Begin(const Packet& packet, const IpPacketView& ip, uint32_t mtu, uint32_t id);
  bool Done() const { return at_ == end_; }
  // The next fragment, ready to send, with the packet's link header, interface and offload state.
  // nullptr if the pool is empty. REQUIRES: Begin() returned true, !Done().
  Packet* Next(PacketCaches* caches);

 private:
  void BeginV4(std::span<const uint8_t> l3);
  bool BeginV6(std::span<const uint8_t> l3);
  void WriteV4(uint32_t offset, uint32_t payload, uint8_t* l3) const;
  void WriteV6(uint32_t offset, uint32_t payload, uint8_t* l3) const;

  const Packet* packet_ = nullptr;
  IpPacketView ip_;
  uint32_t mtu_ = 0;
  uint32_t id_ = 0;
  uint32_t front_ = 0;  // header bytes that every fragment repeats; IPv4: header bytes of the first
  uint32_t next_header_at_ = 6;  // IPv6: of the byte that will name the fragment header
  uint32_t at_ = 0;              // next byte of data, from l3
  uint32_t end_ = 0;             // end of the data
  // IPv4: the header of all fragments but the first, without the options that must not be copied.
  std::array<uint8_t, 60> later_header_{};
  uint32_t later_length_ = 0;
};

// Takes ownership of `packet` and calls emit(Packet*) for each of its fragments; emit() owns the
// fragment. Returns kNone, or the reason why `sink` dropped the packet: kOutTooBig if it may not be
// cut, or kNoBuffers (fragments already emitted stay emitted).
template <typename Emit>
DropReason FragmentPacket(Packet* packet, const IpPacketView& ip, uint32_t mtu, uint32_t id,
                          DropSink* sink, Emit emit) {
  Fragmenter fragmenter;
  if (!fragmenter.Begin(*packet, ip, mtu, id)) {
    sink->Drop(packet, DropReason::kOutTooBig);
    return DropReason::kOutTooBig;
  }
  while (!fragmenter.Done()) {
    Packet* fragment = fragmenter.Next(sink->caches());
    if (fragment == nullptr) {
      sink->Drop(packet, DropReason::kNoBuffers);
      return DropReason::kNoBuffers;
    }
    emit(fragment);
  }
  sink->Recycle(packet);
  return DropReason::kNone;
}

}  // namespace cygnet
