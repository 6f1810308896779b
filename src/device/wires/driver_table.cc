#include "device/driver.h"

namespace cygnet {

const DriverInfo* FindDriver(std::string_view name) {
  for (const DriverInfo* driver : BuiltinDrivers()) {
    if (driver->name == name) return driver;
  }
  return nullptr;
}

}  // namespace cygnet
