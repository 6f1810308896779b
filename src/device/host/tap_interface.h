// A TAP interface for the host, made or, where it was to stay, taken up again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "device/port.h"

namespace cygnet {

struct TapParams {
  std::string name;
  uint32_t queues = 1;
  uint32_t mtu = 1500;
  MacAddress mac{};
  bool persist = false;  // one that is there is taken up, addresses, routes and all
};

struct TapInterface {
  std::vector<UniqueFd> queues;
  int ifindex = 0;
};

// Up, with the wanted MAC address and MTU. As long as no program has it open it has no carrier, and
// what the host sends by it is lost.
Result<TapInterface> OpenTapInterface(const TapParams& params);

// Of any interface; one that has it already is left alone.
Status SetMacAddress(const std::string& interface, const MacAddress& mac);

// `queue`: one of its descriptors. From here on it stays when they are closed, until `ip link del`.
Status KeepTapInterface(int queue);

}  // namespace cygnet
