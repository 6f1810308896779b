// The nftables tables of this network namespace, without their contents.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "netlink/kernel_netlink.h"

namespace cygnet {

// enum nft_table_flags; headers of Linux 6.1 lack the last. Only the netlink socket that made an
// owned table can change or flush it. A persistent table outlives the socket, then without owner.
inline constexpr uint32_t kNftOwner = 0x2;
inline constexpr uint32_t kNftPersist = 0x4;

struct NftTableHead {
  uint8_t family = 0;  // NFPROTO_…
  std::string name;
  uint32_t flags = 0;
};

// Of all families. `netfilter`: a socket of NETLINK_NETFILTER.
Result<std::vector<NftTableHead>> ListNftTables(KernelNetlink* netfilter);

// As nft writes it: "inet", "netdev" …
std::string NftFamilyName(uint8_t family);

}  // namespace cygnet
