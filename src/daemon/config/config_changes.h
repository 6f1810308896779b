// What differs between two configurations, key by key; and which keys a running daemon takes over.
#pragma once

#include <string>
#include <vector>

#include "daemon/config/config.h"

namespace cygnet {

struct ConfigChanges {
  std::vector<std::string> live;     // a reload applies them
  std::vector<std::string> restart;  // only a new start does
};

// Keys as the file names them: "daemon.log_level", "device nic0.trusted"; "placement" stands for
// all rules, whose order counts, "device nic1" for a device that came or went. A key that nobody
// has said to be live needs a restart.
ConfigChanges CompareConfigs(const Config& before, const Config& after);

}  // namespace cygnet
