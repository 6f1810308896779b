// The rules of nftables that shut a wire: one table of each of three families.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/fence/nft_table.h"

namespace cygnet {

// "cygnet_" and the interface's name; what is neither a letter nor a digit of ASCII as "_" and two
// hex digits: two interfaces never share a table. Names may hold any byte but '/' and white space.
std::string FenceTableName(const std::string& wire);
// The wire whose table it is; empty: it is not one of Cygnet's.
std::string WireOfTable(const std::string& table);

// Family netdev, on the interface itself: everything is dropped but what carries Cygnet's socket
// mark on its way out. AF_PACKET sockets see arriving frames before it. Before Linux 6.16 it needs
// the interface, and goes with it.
NftTable FenceOnDevice(const std::string& wire, uint32_t flags);

// Families inet and arp, which need no interface: what comes in or goes out by one of this name, or
// of this index whatever its name becomes. They hold from before an interface appears, and until
// the table above is on it. `ifindex` 0: there is none.
std::vector<NftTable> FenceByName(const std::string& wire, uint32_t ifindex, uint32_t flags);

}  // namespace cygnet
