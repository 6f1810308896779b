// The key `pass_ether_types`: frames that pass although they are neither IP nor ARP.
#pragma once

#include <cstdint>
#include <vector>

#include "settings/fields.h"

namespace cygnet {

// An array of names and numbers: ["lldp", 0x88b5]. Refuses lengths, ARP, types that carry IP hidden
// from policy, duplicates, and too many entries.
Codec<std::vector<uint16_t>> EtherTypeList();

}  // namespace cygnet
