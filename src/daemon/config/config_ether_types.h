// The key `pass_ether_types`: frames that are neither IP nor ARP and pass all the same.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config_reader.h"

namespace cygnet {

// An array of names and numbers. Refused: what is always or never to be seen here (lengths, ARP),
// what carries IP that policy would not see, one named twice, more than there is room for.
void ReadEtherTypes(const TableReader& reader, std::string_view key, std::vector<uint16_t>* out);

// As ReadEtherTypes reads it back: ["lldp", 0x88b5].
std::string DescribeEtherTypes(std::span<const uint16_t> types);

}  // namespace cygnet
