// "Packet too big" to the sender of a packet that does not fit after encapsulation: ICMP type 3
// code 4 (RFC 1191) and ICMPv6 type 2 (RFC 4443).
#pragma once

#include <algorithm>
#include <cstdint>

#include "net/flow_key.h"
#include "packet/packet_batch.h"

namespace cygnet {

// Holds the errors that a worker sends to a rate (RFC 1812 section 4.3.2.8, RFC 4443 section
// 2.4(f)): a token bucket. Times are monotonic milliseconds.
class IcmpLimiter {
 public:
  static constexpr uint64_t kPerSecond = 1000;
  static constexpr uint64_t kBurst = 100;

  // May one be sent now? Counts it if so: ask for errors that will be sent, last.
  bool Allow(uint64_t now_ms) {
    if (now_ms > last_ms_) {
      const uint64_t elapsed = std::min(now_ms - last_ms_, kFull);  // fills the bucket in any case
      credit_ = std::min(credit_ + elapsed * kPerSecond, kFull);
      last_ms_ = now_ms;
    }
    if (credit_ < kToken) return false;
    credit_ -= kToken;
    return true;
  }

 private:
  static constexpr uint64_t kToken = 1000;  // thousandths, what kPerSecond earns in a millisecond
  static constexpr uint64_t kFull = kBurst * kToken;
  uint64_t credit_ = kFull;
  uint64_t last_ms_ = 0;
};

// May an ICMP error answer this packet (RFC 1122 section 3.2.2, RFC 4443 section 2.4(e))? Not an
// ICMP error or redirect, not what went to many (by IP or Ethernet address), not a fragment but the
// first, and only what came from one host.
bool MayAnswerWithError(const Packet& packet, const IpPacketView& ip);

// A frame for the host that tells it `mtu`, quoting `packet` as far as the minimum MTU lets it;
// nullptr when the pool is empty or MayAnswerWithError() is false. Its source is where the packet
// was going. `mtu` is what fits before encapsulation, bytes of IP packet; IPv6 is never told less
// than 1280 (RFC 8200 section 5: the sender would not obey) nor IPv4 less than 68 (RFC 791), and
// packets of that size must then be carried all the same, in fragments.
Packet* MakePacketTooBig(const Packet& packet, const IpPacketView& ip, uint32_t mtu,
                         PacketCache* cache);

}  // namespace cygnet
