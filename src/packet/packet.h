// Packet: one frame in a linear buffer with headroom and tailroom. It has exactly one owner at a
// time: a batch, a ring, a port, or the pool.
#pragma once

#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/ids.h"

namespace cygnet {

class PacketPool;

// What a device and the stack report to each other about one packet (OffloadDevice contract).
enum class OffloadStatus : uint8_t {
  kNone,           // not touched by a device
  kSealRequested,  // outbound: the device holding `handle` must seal it
  kSealed,         // outbound: sealed, by device or software
  kOpened,         // inbound: opened in place, ICV verified; ESP header, trailer and ICV remain
  kAuthFailed,     // inbound: the ICV did not verify
  kError,          // inbound: the device could not decide
  kReturned,       // outbound, handed back unsealed: the stack seals it
  // Packet offload (device/packet_offload.h):
  kProtectRequested,  // outbound: in clear; the device holding `handle` must protect it
  kReturnedClear,     // outbound, handed back in clear and without a number: the stack decides anew
  kDecapsulated,      // inbound: opened, checked for replay and decapsulated
  kMirrored,          // inbound: a copy, as it came, of the packet that follows as kDecapsulated
};

struct OffloadMeta {
  OffloadHandle handle;
  // High word of the sequence number, for the AAD. Outbound: used to seal. Inbound and opened: used
  // to verify the ICV.
  uint32_t esn_high = 0;
  uint16_t esp_offset = 0;  // outbound: of the ESP header, from the start of the frame
  OffloadStatus status = OffloadStatus::kNone;
};

// What the outbound pipeline knows about a packet, for the seal guard (datapath/wire_seal_guard.h).
enum class Protection : uint8_t {
  kNone,     // not decided yet
  kClear,    // policy lets it leave in clear; `proof` identifies the policy's decision
  kControl,  // made by control (NAT keep-alives)
  kProven,   // an ESP packet, or a fragment of one, that was verified to be sealed
  // An ESP packet not yet verified to be sealed (seal_proof.h). Still to check:
  kOwed,         // text and ICV
  kOwedText,     // text only: the ICV is too short
  kOwedIcv,      // ICV only: the text stays in clear
  kOwedNothing,  // neither
  kOwedShadow,   // that it opens, and has the text whose hash is `proof` (shadow verification)
  // Packet offload: handed over in clear. The frame that leaves must be ESP of its SA. Still to
  // check:
  kOwedByDevice,        // that the text changed in place
  kOwedByDeviceNoText,  // no more: the cipher leaves the text in clear, or it is too short
  kOwedByDeviceShadow,  // as kOwedShadow
};
inline bool OwesShadow(Protection p) {
  return p == Protection::kOwedShadow || p == Protection::kOwedByDeviceShadow;
}
inline bool OwesSeal(Protection p) { return p >= Protection::kOwed; }

// Work left unfinished in a frame at the host-side port, and at a wire that finishes it
// (Port::TakesSuperPackets), as in the virtio-net header. kUdp: datagrams of one flow and one size,
// over IPv4 or IPv6; the last one may be shorter.
enum class GsoType : uint8_t { kNone, kTcpV4, kTcpV6, kUdp };

struct alignas(kCacheLine) Packet {
  uint8_t* buffer = nullptr;
  uint32_t capacity : 20 = 0;  // of the buffer
  // Number of the tunnel interface (datapath/tunnels.h) that it was sent through, or that it comes
  // in by; 0: none.
  uint32_t tunnel : 12 = 0;
  uint32_t head = 0;       // offset of the first byte of the frame
  uint32_t length = 0;     // of the frame
  uint16_t l3_offset = 0;  // of the IP header, from the start of the frame
  uint16_t gso_size = 0;   // super-packet: payload bytes per segment; 0 = an ordinary packet
  // Unfinished checksum (csum_partial): start of the covered bytes from the start of the frame;
  // where the checksum is stored, from csum_start. ESP packets for a device have none and use these
  // fields for their SA (SetSaNumber).
  uint16_t csum_start = 0;
  uint16_t csum_offset = 0;
  GsoType gso_type = GsoType::kNone;
  bool csum_partial : 1 = false;
  // Number of the inside interface (datapath/inside.h) that it was taken from, or that it leaves
  // by; 0: none.
  uint8_t inside : 7 = 0;
  uint8_t interface = 0;  // index of the interface it arrived on
  Protection protection = Protection::kNone;
  OffloadMeta offload;
  uint16_t proof_at = 0;  // kOwed…: offset of the text after the IV, from the start of the buffer
  uint16_t proof_header = 0;  // kOwed…: checksum of the ESP header; kOwedByDevice…: of the SPI
  PacketPool* pool = nullptr;
  // kOwed…: first bytes of the text in clear, or its hash (…Shadow); kClear: FlowDecision::stamp
  uint64_t proof = 0;

  // Belongs to the same interfaces as `other`, which it is made of.
  void TakeOrigin(const Packet& other) {
    interface = other.interface;
    tunnel = other.tunnel;
    inside = other.inside;
  }
  // It came from where nothing leaves in clear, and has no Ethernet header of the host that names a
  // neighbour.
  bool enclosed() const { return tunnel != 0 || inside != 0; }
  // Low 32 bits of Sa::number of an ESP packet that a device must seal; needed if the device hands
  // it back. REQUIRES: !csum_partial.
  void SetSaNumber(uint64_t number) {
    csum_start = static_cast<uint16_t>(number >> 16);
    csum_offset = static_cast<uint16_t>(number);
  }
  void SetCapacity(uint32_t bytes) { capacity = bytes & 0xfffffu; }
  void SetTunnel(uint16_t number) { tunnel = number & 0xfffu; }
  void SetInside(uint8_t number) { inside = number & 0x7fu; }
  uint32_t sa_number() const { return uint32_t{csum_start} << 16 | csum_offset; }

  uint8_t* data() { return buffer + head; }
  const uint8_t* data() const { return buffer + head; }
  std::span<uint8_t> bytes() { return {data(), length}; }
  std::span<const uint8_t> bytes() const { return {data(), length}; }
  std::span<uint8_t> l3() { return {data() + l3_offset, length - l3_offset}; }
  std::span<const uint8_t> l3() const { return {data() + l3_offset, length - l3_offset}; }
  uint32_t headroom() const { return head; }
  uint32_t tailroom() const { return capacity - head - length; }

  // REQUIRES: n ≤ headroom().
  uint8_t* Prepend(uint32_t n) {
    CYGNET_DCHECK(n <= head);
    head -= n;
    length += n;
    return data();
  }
  // REQUIRES: n ≤ tailroom(). Returns the first new byte.
  uint8_t* Append(uint32_t n) {
    CYGNET_DCHECK(n <= tailroom());
    uint8_t* end = data() + length;
    length += n;
    return end;
  }
  void TrimFront(uint32_t n) {
    CYGNET_DCHECK(n <= length);
    head += n;
    length -= n;
  }
  void TrimTo(uint32_t n) {
    CYGNET_DCHECK(n <= length);
    length = n;
  }
};
static_assert(sizeof(Packet) == kCacheLine);

}  // namespace cygnet
