// Packets that go on from their destination address, as an IPv6 routing header or a source route of
// IPv4 says.
#pragma once

#include <cstdint>
#include <span>

#include "datapath/data_path.h"
#include "datapath/flow_cache.h"
#include "net/flow_key.h"

namespace cygnet {

// Outbound: false if policy does not let the packet reach its final destination as `direct`, the
// decision about its destination address, sends it. With IPv6 the kernel looks up the final
// destination alone (xfrm_lookup after fl6_update_dst), with IPv4 the first one; here both count.
// `l3`: the packet's bytes.
bool PassesFurther(const DataPath& path, const IpPacketView& ip, std::span<const uint8_t> l3,
                   int32_t ifindex, const FlowDecision& direct);

}  // namespace cygnet
