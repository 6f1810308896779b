// One IP fragment as reassembly sees it: what its headers say, and how a row of them becomes the
// packet that they were cut from. Wire formats, no state.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "net/flow_key.h"
#include "packet/packet_pool.h"

namespace cygnet {

// What the fragments of one datagram have in common: RFC 791 with the protocol, RFC 8200 without.
struct FragmentKey {
  IpAddress saddr;
  IpAddress daddr;
  uint64_t came_by = 0;  // the way they came: what came by another is of another datagram
  uint32_t id = 0;       // IPv4: 16 bits
  IpFamily family = IpFamily::kUnspec;
  uint8_t proto = 0;  // IPv6: 0
  uint8_t zero = 0;   // keeps the object free of padding, so that it can be hashed as words

  bool operator==(const FragmentKey&) const = default;
};
static_assert(sizeof(FragmentKey) == 48);

// A fragment's packet and where its piece of the datagram lies in it.
struct Fragment {
  Packet* packet = nullptr;
  uint32_t data_at = 0;  // first byte behind the headers, from the start of the frame
  uint16_t offset = 0;   // of the piece in the datagram's data, bytes
  uint16_t length = 0;   // of the piece, bytes; not 0

  uint32_t end() const { return uint32_t{offset} + length; }
  std::span<const uint8_t> data() const { return {packet->data() + data_at, length}; }
};

struct FragmentPiece {
  FragmentKey key;
  Fragment fragment;
  bool more = false;            // not the last
  uint8_t ecn = 0;              // codepoint, RFC 3168
  uint16_t next_header_at = 0;  // IPv6: of the byte that names the fragment header, from l3

  // IPv6 only: nothing is missing (RFC 6946), the fragment header is there for show.
  bool Atomic() const { return fragment.offset == 0 && !more; }
};

// Largest IP packet, header included, that is put together. RFC 8200 would let IPv6 have 40 bytes
// more; the rest of the stack counts a packet in 16 bits.
inline constexpr uint32_t kMaxIpPacket = 65535;

// `ip` describes packet->l3(). REQUIRES: ip.fragment. nullopt when the fragment cannot be one of
// any datagram: empty, not the last and no multiple of 8, beyond kMaxIpPacket, or (IPv6) the first
// and without all headers up to the upper-layer one (RFC 7112), or a fragment of a fragment.
std::optional<FragmentPiece> ReadFragment(Packet* packet, const IpPacketView& ip);

struct JoinedHeader {
  uint16_t next_header_at = 0;  // IPv6: FragmentPiece::next_header_at of the first
  bool congestion_experienced = false;
};

// Length of the IP packet that the fragments make, with the headers of the first and up to the end
// of the last.
uint32_t JoinedLength(std::span<const Fragment> fragments);

// That packet. REQUIRES: `fragments`, in order, cover their datagram without gap or overlap, and
// JoinedLength() ≤ kMaxIpPacket. It is built in the first fragment's packet where that has room for
// it and for kPacketTailroom, else in a jumbo packet. nullptr when there is none: nothing has been
// touched. No ownership moves: the caller gives back every packet that is not returned.
Packet* JoinFragments(std::span<const Fragment> fragments, const JoinedHeader& header,
                      PacketCaches* caches);

}  // namespace cygnet
