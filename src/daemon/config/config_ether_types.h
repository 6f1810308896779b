// The key `pass_ether_types`: frames that are neither IP nor ARP and pass all the same.
#pragma once

#include <cstdint>
#include <vector>

#include "settings/fields.h"

namespace cygnet {

// An array of names and numbers: ["lldp", 0x88b5]. Refused: what is always or never to be seen here
// (lengths, ARP), what carries IP that policy would not see, one named twice, more than there is
// room for.
Codec<std::vector<uint16_t>> EtherTypeList();

}  // namespace cygnet
