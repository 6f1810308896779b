// OuterIpv4, KeptIpv4: write the IPv4 headers in front of ESP. Internal to esp/.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/endian.h"
#include "esp/framing.h"
#include "net/checksum.h"
#include "net/flow_key.h"
#include "sa/sa.h"

namespace cygnet::esp {

// DSCP and ECN of the outer header (RFC 4301, section 5.1.2.1). As in the kernel, the ECN field is
// copied, except that CE becomes ECT(0): the outer header then reports only its own path (RFC 3168,
// section 9.1.1, full functionality; RFC 6040 would copy CE).
class OuterTos {
 public:
  explicit OuterTos(const OutboundSa& sa)
      : keep_(static_cast<uint8_t>((sa.copy_dscp ? 0xfc : 0) |
                                   ((sa.flags & kSaFlagNoEcn) == 0 ? kEcnMask : 0))) {}
  uint8_t Of(uint8_t inner_tos) const {
    constexpr uint8_t kCeToEct0 = 0x01;  // 11 becomes 10
    const bool ce = (inner_tos & kEcnMask) == kEcnMask;
    return static_cast<uint8_t>((ce ? inner_tos & ~kCeToEct0 : inner_tos) & keep_);
  }

 private:
  static constexpr uint8_t kEcnMask = 0x03;
  const uint8_t keep_;
};

// What the headers of an SA share is read once. REQUIRES for Write: a tunnel whose outer family is
// IPv4.
class OuterIpv4 {
 public:
  explicit OuterIpv4(const OutboundSa& sa)
      : tos_(sa),
        flag_((sa.flags & kSaFlagNoPmtuDisc) == 0 ? kDontFragment : 0),
        first_id_(FreshId(sa, 0)),
        ttl_and_proto_(Word(sa, 2) & 0xffff),  // the checksum after them counts as 0
        addresses_(Word(sa, 3) | uint64_t{Word(sa, 4)} << 32),
        sum_(uint64_t{ttl_and_proto_} + Word(sa, 3) + Word(sa, 4)) {}

  // Writes 20 bytes. `inner_tos`, `must_not_be_cut` (MustNotBeCut): of the packet inside;
  // `total_length`: of the outer packet. Built in registers: a checksum over bytes just stored
  // would stall. Assumes little-endian (x86-64).
  void Write(uint8_t inner_tos, bool must_not_be_cut, uint64_t seq, uint32_t total_length,
             uint8_t* out) const {
    const auto id = static_cast<uint16_t>(first_id_ + seq);
    const uint32_t first = ByteSwap(uint32_t{0x45} << 24 | uint32_t{tos_.Of(inner_tos)} << 16 |
                                    (total_length & 0xffff));
    const uint32_t second = ByteSwap(uint32_t{id} << 16 | (must_not_be_cut ? flag_ : 0));
    // Sum of words in memory order (RFC 1071, section 2B).
    const uint64_t sum = sum_ + first + second;
    const uint32_t third = ttl_and_proto_ | uint32_t{ChecksumFinish(sum)} << 16;
    const uint64_t front = first | uint64_t{second} << 32;
    std::memcpy(out, &front, sizeof(front));
    std::memcpy(out + 8, &third, sizeof(third));
    std::memcpy(out + 12, &addresses_, sizeof(addresses_));
  }

 private:
  static constexpr uint32_t kDontFragment = 0x4000;  // beside the fragment offset
  static uint32_t Word(const OutboundSa& sa, std::size_t i) {
    uint32_t w;
    std::memcpy(&w, sa.header.data() + i * 4, sizeof(w));
    return w;
  }

  const OuterTos tos_;
  const uint32_t flag_;  // of packets that must not be cut
  const uint16_t first_id_;
  const uint32_t ttl_and_proto_;
  const uint64_t addresses_;
  const uint64_t sum_;  // of what all headers share
};

// Transport mode: the packet's own IPv4 header without options, which stays in front. Read before
// it is overwritten, and kept and written in registers, as above.
class KeptIpv4 {
 public:
  explicit KeptIpv4(const uint8_t* header) {
    std::memcpy(&first_, header, sizeof(first_));
    std::memcpy(&second_, header + 8, sizeof(second_));
    std::memcpy(&daddr_, header + 16, sizeof(daddr_));
  }
  uint8_t protocol() const { return static_cast<uint8_t>(second_ >> 8); }
  // Writes 20 bytes: the header with another length and protocol.
  void Write(uint32_t total_length, uint8_t protocol, uint8_t* out) const {
    const uint64_t length = ByteSwap(static_cast<uint16_t>(total_length));
    const uint64_t first = (first_ & ~uint64_t{0xffff0000}) | length << 16;
    const uint64_t ttl_and_proto = (second_ & 0xff) | uint64_t{protocol} << 8;
    const uint64_t saddr = second_ >> 32;
    const uint64_t sum = (first & 0xffffffff) + (first >> 32) + ttl_and_proto + saddr + daddr_;
    const uint64_t second = ttl_and_proto | uint64_t{ChecksumFinish(sum)} << 16 | saddr << 32;
    std::memcpy(out, &first, sizeof(first));
    std::memcpy(out + 8, &second, sizeof(second));
    std::memcpy(out + 16, &daddr_, sizeof(daddr_));
  }

 private:
  // As in memory: to the fragment offset; TTL, protocol, checksum and source.
  uint64_t first_;
  uint64_t second_;
  uint32_t daddr_;
};

}  // namespace cygnet::esp
