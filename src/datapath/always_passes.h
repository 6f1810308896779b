// The short list of what passes in clear whatever policy says.
#pragma once

#include <cstdint>
#include <span>

#include "datapath/data_path.h"
#include "net/flow_key.h"

namespace cygnet {

// Messages that the link itself needs (net/link_message.h; not a redirect that quotes a packet, on
// its way out), and with DataPath::ike_bypass IKE of this host: between two unicast addresses, of a
// socket that DataPath::ike_sockets holds, and IKE by its header (net/ike_message.h). `direction`:
// kOut, or kIn for what arrives. `ifindex`: of the host side. `l3`: the packet's bytes.
bool AlwaysPasses(const DataPath& path, PolicyDirection direction, int32_t ifindex,
                  const IpPacketView& ip, std::span<const uint8_t> l3);

}  // namespace cygnet
