// The differences between two configurations, key by key, and which of them a reload applies.
#pragma once

#include <string>
#include <vector>

#include "daemon/config/config.h"

namespace cygnet {

struct ConfigChanges {
  std::vector<std::string> live;     // a reload applies them
  std::vector<std::string> restart;  // these need a restart
};

// Keys are named as in the file: "daemon.log_level", "device nic0.trusted". "placement" means all
// rules, because their order matters; "device nic1" a device that was added or removed. A key
// without kLive needs a restart.
ConfigChanges CompareConfigs(const Config& before, const Config& after);

}  // namespace cygnet
