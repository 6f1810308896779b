// Frames in the child: the services of the plug-in, and a thread for each queue.
#pragma once

#include <cygnet/driver.h>

#include "plugin/isolation/child/control.h"
#include "plugin/isolation/driver_ring.h"

namespace cygnet::isolation {

// Takes the memory and the bells that came with the request: of each queue, of each queue of the
// wire, and of the host's pump. False: they are not there.
bool SetUpPort(const DriverShape& shape, Request* request);
// What the plug-in gets at open.
const cygnet_driver_host* DriverServices();
// Headroom of a new packet.
inline constexpr uint32_t kNewHeadroom = 256;

// After open; before close.
bool StartQueues(const cygnet_driver* calls, void* device);
void EndQueues();
// Returns when the plug-in has every packet that was in the rings: a control call that came after
// them must not overtake them. Waits for 100 ms at most.
void LetPacketsPass();

}  // namespace cygnet::isolation
