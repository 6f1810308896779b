// Selector (RFC 4301, section 4.4.1.1; struct xfrm_selector): the flows that an entry covers.
#pragma once

#include <cstdint>
#include <string>

#include "net/address.h"
#include "net/flow_key.h"

namespace cygnet {

// Kept exactly as the client wrote it. Identity compares every field, including host bits beyond a
// prefix (two spellings of one network are two policies); matching uses only the masked bits.
struct Selector {
  IpAddress daddr;
  IpAddress saddr;
  uint16_t dport = 0;  // host order
  uint16_t dport_mask = 0;
  uint16_t sport = 0;
  uint16_t sport_mask = 0;
  IpFamily family = IpFamily::kUnspec;  // a uint16_t of the message; other values than 2 and 10 are
                                        // refused earlier, but SAs may have 0
  uint8_t prefixlen_d = 0;
  uint8_t prefixlen_s = 0;
  uint8_t proto = 0;    // 0 = any
  int32_t ifindex = 0;  // 0 = any
  uint32_t user = 0;    // carried, never matched

  bool operator==(const Selector&) const = default;

  // `ifindex_of_flow`: the egress (outbound) or receiving (inbound) interface, 0 if unknown.
  bool Matches(const FlowKey& flow, int32_t ifindex_of_flow) const {
    return family == flow.family && PrefixMatches(daddr, flow.daddr, prefixlen_d) &&
           PrefixMatches(saddr, flow.saddr, prefixlen_s) &&
           ((dport ^ flow.dport) & dport_mask) == 0 && ((sport ^ flow.sport) & sport_mask) == 0 &&
           (proto == 0 || proto == flow.proto) && (ifindex == 0 || ifindex == ifindex_of_flow);
  }

  bool SaysNothing() const {
    return prefixlen_d == 0 && prefixlen_s == 0 && proto == 0 && dport_mask == 0 &&
           sport_mask == 0 && ifindex == 0;
  }
  // As an SA's selector (ports and addresses of the inner flow, interface as in Matches). An empty
  // selector admits every flow. One without a family (flag af-unspec) applies to the family of the
  // flow.
  bool Admits(const FlowKey& flow, int32_t ifindex_of_flow) const {
    if (SaysNothing()) return true;
    Selector in_family = *this;
    if (family == IpFamily::kUnspec) in_family.family = flow.family;
    return in_family.Matches(flow, ifindex_of_flow);
  }
};

// "src 10.1.0.0/16 dst 10.2.0.0/16 proto 6 dport 80", in iproute2's style; with a mask "80/65520".
std::string ToString(const Selector& selector);

// Selects exactly this flow: whole addresses, whole ports (kernel: xfrm_init_tempsel).
inline Selector FlowSelector(const FlowKey& flow, int32_t ifindex) {
  Selector selector;
  selector.saddr = flow.saddr;
  selector.daddr = flow.daddr;
  selector.sport = flow.sport;
  selector.dport = flow.dport;
  selector.sport_mask = 0xffff;
  selector.dport_mask = 0xffff;
  selector.family = flow.family;
  selector.prefixlen_s = static_cast<uint8_t>(AddressBits(flow.family));
  selector.prefixlen_d = selector.prefixlen_s;
  selector.proto = flow.proto;
  selector.ifindex = ifindex;
  return selector;
}

}  // namespace cygnet
