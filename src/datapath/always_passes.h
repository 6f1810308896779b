// The short list of packets that pass in clear regardless of policy.
#pragma once

#include <cstdint>
#include <span>

#include "datapath/data_path.h"
#include "net/flow_key.h"
#include "net/ip_protocol.h"

namespace cygnet {

// True for messages that the link itself needs (net/link_message.h), except an outbound redirect
// that quotes a packet. Also for IKE of this host: between two unicast addresses, with an IKE
// header (net/ike_message.h), of a socket whose own policy allows it, or with DataPath::ike_bypass
// of one in DataPath::ike_sockets. `direction`: kOut, or kIn for arriving packets. `ifindex`: of
// the host side. `l3`: the packet's bytes.
bool AlwaysPasses(const DataPath& path, PolicyDirection direction, int32_t ifindex,
                  const IpPacketView& ip, std::span<const uint8_t> l3);

// False: it is false for every packet of this flow that the host sends.
inline bool MayAlwaysPass(const FlowKey& flow) {
  return flow.proto == kProtoIcmpv6 ||
         (flow.proto == kProtoUdp && (flow.sport == kPortIke || flow.sport == kPortIkeNatT));
}

}  // namespace cygnet
