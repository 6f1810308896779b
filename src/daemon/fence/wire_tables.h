// The rules of nftables that shut a wire: one table of each of three families.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/fence/nft_table.h"

namespace cygnet {

// Family netdev, on the interface itself: everything is dropped but what carries Cygnet's socket
// mark on its way out. AF_PACKET sockets see arriving frames before it. Before Linux 6.16 it needs
// the interface, and goes with it.
NftTable FenceOnDevice(const std::string& wire, uint32_t flags);

// Families inet and arp, which need no interface: what comes in or goes out by one of this name, or
// of this index whatever its name becomes. They hold from before an interface appears, and until
// the table above is on it. `ifindex` 0: there is none.
std::vector<NftTable> FenceByName(const std::string& wire, uint32_t ifindex, uint32_t flags);

}  // namespace cygnet
