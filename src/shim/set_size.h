// ethtool_sset_info with room for the size of one set of strings.
#pragma once

#include <linux/ethtool.h>

#include <cstdint>

namespace cygnet::shim {

struct SetSize {
  explicit SetSize(uint32_t set) : sets(uint64_t{1} << set) {}
  uint32_t command = ETHTOOL_GSSET_INFO;
  uint32_t reserved = 0;
  uint64_t sets;  // afterwards 0 if the interface does not have the set
  uint32_t count = 0;
};

}  // namespace cygnet::shim
