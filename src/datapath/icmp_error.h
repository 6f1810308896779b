// "Packet too big" errors to the sender of a packet that does not fit after encapsulation: ICMP
// type 3 code 4 (RFC 1191) and ICMPv6 type 2 (RFC 4443).
#pragma once

#include <algorithm>
#include <cstdint>

#include "net/flow_key.h"
#include "packet/packet_batch.h"

namespace cygnet {

// Limits the rate of a worker's errors with a token bucket (RFC 1812 section 4.3.2.8, RFC 4443
// section 2.4(f)). Times are monotonic milliseconds.
class IcmpLimiter {
 public:
  static constexpr uint64_t kPerSecond = 1000;
  static constexpr uint64_t kBurst = 100;

  // Returns whether an error may be sent now, and takes a token if so. Call it last, when only this
  // decides whether the error is sent.
  bool Allow(uint64_t now_ms) {
    if (now_ms > last_ms_) {
      const uint64_t elapsed = std::min(now_ms - last_ms_, kFull);  // kFull always fills the bucket
      credit_ = std::min(credit_ + elapsed * kPerSecond, kFull);
      last_ms_ = now_ms;
    }
    if (credit_ < kToken) return false;
    credit_ -= kToken;
    return true;
  }

 private:
  static constexpr uint64_t kToken = 1000;  // credit is in thousandths of an error
  static constexpr uint64_t kFull = kBurst * kToken;
  uint64_t credit_ = kFull;
  uint64_t last_ms_ = 0;
};

// Returns whether an ICMP error may answer this packet (RFC 1122 section 3.2.2, RFC 4443 section
// 2.4(e)). False for an ICMP error or redirect, a multicast or broadcast (by IP or Ethernet
// address), a fragment other than the first, and a source that is not a single host.
bool MayAnswerWithError(const Packet& packet, const IpPacketView& ip);

// Makes a frame for the host that says that the packet's destination cannot be reached (IPv4: host
// unreachable, IPv6: address unreachable), as dst_link_failure of the kernel does. Otherwise as
// MakePacketTooBig.
Packet* MakeUnreachable(const Packet& packet, const IpPacketView& ip, PacketCache* cache,
                        const IpAddress* own = nullptr);

// Makes a frame for the host that reports `mtu` and quotes as much of `packet` as the minimum MTU
// allows. nullptr if the pool is empty or MayAnswerWithError() is false. Its source is `own`, or
// with nullptr the packet's destination. `mtu`: the largest IP packet that fits before
// encapsulation, in bytes. The error never reports less than 1280 for IPv6 (RFC 8200 section 5: the
// sender would ignore it) or 68 for IPv4 (RFC 791). Packets of that size must then be sent in
// fragments.
Packet* MakePacketTooBig(const Packet& packet, const IpPacketView& ip, uint32_t mtu,
                         PacketCache* cache, const IpAddress* own = nullptr);

}  // namespace cygnet
