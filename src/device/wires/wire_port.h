// The wire side of a device: which kind of port stands on an interface, and opening it.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "device/driver.h"

namespace cygnet {

// What is known of a network interface before it is opened.
struct WireFacts {
  int ifindex = 0;
  MacAddress mac{};
  uint32_t mtu = 0;
  std::string kernel_driver;  // "veth", "virtio_net", "ice" …; empty: the kernel does not say
  uint32_t receive_queues = 1;
};

struct WireChoice {
  WireDriver driver = WireDriver::kAfPacket;
  std::string reason;  // for the log
};

// The default on this kind of interface (doc/decisions/0013-wire-driver.md).
WireChoice ChooseWireDriver(const WireFacts& facts);

Result<WireFacts> LookAtWire(const std::string& interface);
// How the link stands now; kGone: there is no such interface, or it cannot be asked.
PortLink LookAtLink(const std::string& interface);
// LookAtWire, and sets it up.
Result<WireFacts> TakeWire(const std::string& interface);

// `params.wire` by `driver`, which kAuto leaves to ChooseWireDriver, behind params.guard. What was
// opened, and why, is logged.
Result<std::unique_ptr<Port>> OpenWire(WireDriver driver, const DriverParams& params,
                                       uint32_t queues);

// A device that is nothing but its wire.
Result<Device> OpenPlainDevice(WireDriver driver, const DriverParams& params);

}  // namespace cygnet
