#include "device/driver.h"
#include "device/wires/wire_port.h"

namespace cygnet {

const DriverInfo* FindDriver(std::string_view name) {
  for (const DriverInfo* driver : BuiltinDrivers()) {
    if (driver->name == name) return driver;
  }
  return nullptr;
}

Result<DeviceOptions> CheckNoOptions(const Options& options) {
  CYGNET_RETURN_IF_ERROR(CheckKeys(options, {}));
  return DeviceOptions{.options = options};
}

Result<Device> OpenDevice(const DriverInfo& driver, const DriverParams& params) {
  return driver.open != nullptr ? OpenPlainDevice(driver, params) : driver.create(params);
}

}  // namespace cygnet
