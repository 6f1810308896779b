// The software NIC as a library that `cygnet conformance` can load.
#include "plugins/sim_nic_plugin.h"

const cygnet_driver* cygnet_driver_entry(uint32_t host_abi) {
  return host_abi == CYGNET_ABI ? cygnet::test::SimNicPluginTable() : nullptr;
}
