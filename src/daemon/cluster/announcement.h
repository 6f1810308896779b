// The frames by which neighbours learn that an address is at this host now: gratuitous ARP, as a
// request and as a reply (RFC 5227 and what switches and hosts accept in practice), or an
// unsolicited neighbour advertisement with the override flag (RFC 4861, 7.2.6).
#pragma once

#include <vector>

#include "daemon/config/virtual_address.h"
#include "net/ethernet.h"

namespace cygnet {

std::vector<std::vector<uint8_t>> AnnouncementsOf(const VirtualAddress& address,
                                                  const MacAddress& mac);

}  // namespace cygnet
