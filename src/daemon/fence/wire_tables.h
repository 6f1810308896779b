// The nftables rules that shut a wire: one table in each of three families.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/fence/nft_table.h"

namespace cygnet {

// Family netdev, on the interface itself: drops everything except outgoing frames with Cygnet's
// socket mark. AF_PACKET sockets see arriving frames before it. Before Linux 6.16 the table needs
// the interface and disappears with it.
NftTable FenceOnDevice(const std::string& wire, uint32_t flags);

// Families inet and arp, which need no interface: they drop what enters or leaves by an interface
// of this name, or of this index under any name. They protect before the interface exists and until
// it has the table above. `ifindex` 0: no interface yet.
std::vector<NftTable> FenceByName(const std::string& wire, uint32_t ifindex, uint32_t flags);

}  // namespace cygnet
