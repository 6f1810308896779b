// NAT traversal as key management sees it (RFC 3948): keep-alives that keep a NAT's mapping open,
// and a rate limit for reports of a changed mapping.
#pragma once

#include <array>
#include <cstdint>

#include "net/address.h"
#include "net/ethernet.h"
#include "packet/packet.h"

namespace cygnet {

// Addresses and ports of one keep-alive. Ports in host byte order.
struct NatKeepalive {
  MacAddress source_mac{};
  MacAddress next_hop_mac{};
  IpFamily family = IpFamily::kUnspec;
  IpAddress saddr;
  IpAddress daddr;
  uint16_t sport = 0;
  uint16_t dport = 0;
};

// Writes the frame: one byte 0xff in UDP (RFC 3948 section 2.3), with its checksum. REQUIRES:
// `packet` is fresh from its pool.
void WriteNatKeepalive(const NatKeepalive& way, Packet* packet);

// Admits one report a second (or per the SA's own interval) for each address and port that an SA's
// peer appears at, and at most kPlaces of these a second. Without it every packet of the peer would
// cause a report.
class MappingLimiter {
 public:
  // `now_ns` is monotonic; `interval_seconds` 0 = 1.
  bool Admit(const IpAddress& address, uint16_t port, uint32_t interval_seconds, uint64_t now_ns);

 private:
  static constexpr std::size_t kPlaces = 4;
  struct Place {
    IpAddress address;
    uint16_t port = 0;
    uint64_t reported_at_ns = 0;  // 0 = unused
  };
  std::array<Place, kPlaces> places_{};
};

}  // namespace cygnet
