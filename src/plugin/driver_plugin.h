// DriverPlugin: a driver by others that was loaded and found complete (include/cygnet/driver.h).
#pragma once

#include <string>

#include "base/result.h"
#include "cygnet/driver.h"
#include "plugin/isolation/isolation.h"
#include "plugin/plugin_library.h"

namespace cygnet {

// The tables of a driver as this host understands them: what the driver does not have is NULL.
struct DriverPlugin {
  cygnet_driver driver{};
  cygnet_packet_mode packet{};
  cygnet_loopback loopback{};
  cygnet_faults faults{};
  cygnet_records records{};
  cygnet_findings findings{};
  std::string path;
  std::string sha256;
  bool isolated = false;  // it runs in a process of its own

  std::string Title() const;  // "soft_driver 1.0 (/usr/lib/…)"
};

// Copies and checks the tables. The error names what is missing. `path`: for messages.
Result<DriverPlugin> ReadDriver(const cygnet_driver* table, const std::string& path);
// `isolation`: it runs in a process of its own; nullptr: in this one.
Result<DriverPlugin> LoadDriver(const std::string& path, PluginTrust trust,
                                const IsolationSettings* isolation = nullptr);

}  // namespace cygnet
