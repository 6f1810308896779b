// Packet offload and the optional parts of a driver, in the child.
#pragma once

#include <cygnet/driver.h>

#include "plugin/isolation/child/control.h"

namespace cygnet::isolation {

// The plug-in's tables: what it does not have is NULL.
struct DriverCalls {
  cygnet_driver table;
  cygnet_packet_mode packet;
  cygnet_loopback loopback;
  cygnet_faults faults;
  cygnet_records records;
  cygnet_findings findings;
};
extern DriverCalls driver;
extern void* device;

int32_t HandleDriverExtras(Request* request, Writer* answer);

}  // namespace cygnet::isolation
