// SimNicPlugin: the software NIC behind the C table of drivers, as others would write one: with
// pools of its own, and copies of all packets.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cygnet/driver.h"
#include "device/sim_nic/sim_nic.h"

namespace cygnet::test {

// How a test makes the NIC of the next device that is opened. Without it the NIC has a thread.
struct SimNicPluginSetup {
  SimNicOptions options = {};
  FaultScript script = {};
  const Clock* clock = nullptr;
  bool by_steps = false;  // the test calls RunOnce of the NIC
  SimNic* nic = nullptr;  // filled by open
};

const cygnet_driver* SimNicPluginTable();
// nullptr: none. Used by the next `open`, and then forgotten.
void SetUpSimNicPlugin(SimNicPluginSetup* setup);

}  // namespace cygnet::test
