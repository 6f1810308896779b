// Cuts the ESP packet that a path's MTU does not carry into fragments (RFC 4303 section 3.3.4:
// fragmentation comes after ESP). IPv4 where DF allows it (RFC 791); IPv6 because this host is the
// source of the outer packet (RFC 8200 section 4.5).
#pragma once

#include <array>
#include <cstdint>

#include "net/flow_key.h"
#include "packet/packet_batch.h"

namespace cygnet {

// A packet and where the cutter is in it. The packet stays as it is and must outlive the cutter.
class Fragmenter {
 public:
  // `ip` describes packet.l3(). `mtu`: bytes of IP packet that a fragment may have. `id`: for IPv6,
  // of this packet alone; from a counter that starts at random (RFC 7739). IPv4 keeps its own.
  // False when it may not or cannot be cut: it fits, has DF, is a fragment, waits for a device to
  // seal it, or its headers leave no room for data.
  bool Begin(const Packet& packet, const IpPacketView& ip, uint32_t mtu, uint32_t id);
  bool Done() const { return at_ == end_; }
  // The next fragment: link header, interface and offload state of the packet, nothing left to do
  // but send it. nullptr when the pool is empty. REQUIRES: Begin() was true, !Done().
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
  uint32_t front_ = 0;  // bytes of header that every fragment repeats; IPv4: that the first has
  uint32_t next_header_at_ = 6;  // IPv6: of the byte that will name the fragment header
  uint32_t at_ = 0;              // next byte of data, from l3
  uint32_t end_ = 0;             // behind the last one
  // IPv4: the header of all but the first, without the options that are not to be copied.
  std::array<uint8_t, 60> later_header_{};
  uint32_t later_length_ = 0;
};

// Takes ownership of `packet` and calls emit(Packet*) for each of its fragments, which emit() then
// owns. kNone, or why the packet went to `sink` (fragments already emitted stay emitted):
// kOutTooBig when it may not be cut, kNoBuffers.
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
