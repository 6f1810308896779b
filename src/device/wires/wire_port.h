// The wire side of a device: chooses the driver for an interface, and opens it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/driver.h"

namespace cygnet {

inline constexpr std::string_view kAutoWire = "auto";

// Names of the rows that are wires.
std::vector<std::string_view> WireNames();
// Keys of all wires.
std::vector<FieldInfo> WireKeys();

struct WireChoice {
  const DriverInfo* wire = nullptr;
  std::string reason;  // for the log
};

// The driver that `auto` chooses for this kind of interface (doc/decisions/0013-wire-driver.md).
Result<WireChoice> ChooseWire(const WireFacts& facts);

Result<WireFacts> ProbeWire(const std::string& interface);
// The current state of the link; kGone: the interface does not exist or cannot be queried.
PortLink LookAtLink(const std::string& interface);
// ProbeWire, and sets the interface up.
Result<WireFacts> TakeWire(const std::string& interface);

// For a card, which takes the keys of its wire together with its `own`. The first returns what is
// left for the wire, the second checks that.
Options WireOptionsOf(const Options& options, const std::vector<FieldInfo>& own);
Result<DeviceOptions> CheckWireOptions(const std::string& wire_driver, const Options& options);

// Opens the wire driver `name` behind params.guard. Logs it.
Result<std::unique_ptr<Port>> OpenWire(std::string_view name, const DriverParams& params);

void LogWire(const DriverParams& params, std::string_view wire, const std::string& why);

// A device that is only its wire.
Result<Device> OpenPlainDevice(const DriverInfo& wire, const DriverParams& params);

}  // namespace cygnet
