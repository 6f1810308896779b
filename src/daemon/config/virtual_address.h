// A virtual address of a cluster group, as keepalived writes it: "192.0.2.1/24 dev nic0".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/address.h"

namespace cygnet {

struct VirtualAddress {
  IpAddress address;
  IpFamily family = IpFamily::kUnspec;
  uint8_t bits = 0;  // of the network around it
  std::string device;
  bool operator==(const VirtualAddress&) const = default;
};

Result<VirtualAddress> ParseVirtualAddress(std::string_view text);
std::string ToString(const VirtualAddress& address);

}  // namespace cygnet
