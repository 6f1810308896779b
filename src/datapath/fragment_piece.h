// One IP fragment as reassembly sees it: reads its headers, and joins fragments into the packet
// that they were cut from. Wire formats only, no state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "net/flow_key.h"
#include "packet/packet_pool.h"

namespace cygnet {

// The fields that all fragments of a datagram share: with the protocol in RFC 791, without it in
// RFC 8200.
struct FragmentKey {
  IpAddress saddr;
  IpAddress daddr;
  uint64_t came_by = 0;  // the way of arrival; another way means another datagram
  uint32_t id = 0;       // IPv4: 16 bits
  IpFamily family = IpFamily::kUnspec;
  uint8_t proto = 0;  // IPv6: 0
  uint8_t zero = 0;   // fills the padding, so that the object can be hashed as words

  bool operator==(const FragmentKey&) const = default;
};
static_assert(sizeof(FragmentKey) == 48);

// A fragment's packet, and the place of its piece of the datagram in it.
struct Fragment {
  Packet* packet = nullptr;
  uint32_t data_at = 0;  // first byte after the headers, from the start of the frame
  uint16_t offset = 0;   // of the piece in the datagram's data, in bytes
  uint16_t length = 0;   // of the piece, in bytes; not 0

  uint32_t end() const { return uint32_t{offset} + length; }
  std::span<const uint8_t> data() const { return {packet->data() + data_at, length}; }
};

struct FragmentPiece {
  FragmentKey key;
  Fragment fragment;
  bool more = false;            // not the last
  uint8_t ecn = 0;              // codepoint, RFC 3168
  uint16_t next_header_at = 0;  // IPv6: of the byte that names the fragment header, from l3

  // IPv6 only: a whole packet that carries a fragment header (RFC 6946).
  bool Atomic() const { return fragment.offset == 0 && !more; }
};

// Largest IP packet, header included, that is reassembled. RFC 8200 allows IPv6 40 bytes more, but
// the rest of the stack counts packet lengths in 16 bits.
inline constexpr uint32_t kMaxIpPacket = 65535;

// `ip` describes packet->l3(). REQUIRES: ip.fragment. Returns nullopt for an invalid fragment:
// empty; not the last and not a multiple of 8 bytes long; beyond kMaxIpPacket; a fragment of a
// fragment; or (IPv6) a first fragment without all headers up to the upper-layer one (RFC 7112).
std::optional<FragmentPiece> ReadFragment(Packet* packet, const IpPacketView& ip);

struct JoinedHeader {
  uint16_t next_header_at = 0;  // IPv6: FragmentPiece::next_header_at of the first
  bool congestion_experienced = false;
};

// Length in bytes of the joined IP packet: the headers of the first fragment, and the data up to
// the end of the last.
uint32_t JoinedLength(std::span<const Fragment> fragments);

// Joins the fragments into one packet. REQUIRES: `fragments`, in order, cover their datagram
// without gap or overlap, and JoinedLength() ≤ kMaxIpPacket. Builds the packet in the first
// fragment's buffer if that has room for it and for kPacketTailroom, else in another packet.
// Returns nullptr if none is free; then nothing has been changed. The caller keeps
// ownership of the fragments and recycles each one that is not returned.
Packet* JoinFragments(std::span<const Fragment> fragments, const JoinedHeader& header,
                      PacketCaches* caches);

}  // namespace cygnet
