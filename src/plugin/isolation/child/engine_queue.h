// A queue in the child: a thread that moves jobs between the rings and the plug-in.
#pragma once

#include <cygnet/engine.h>

#include "plugin/isolation/engine_ring.h"

namespace cygnet::isolation {

struct ChildQueue;

// `fd`: the memory; `bell`: a socket, closed with the queue. `queue`: the plug-in's. nullptr: no
// memory or thread.
ChildQueue* StartQueue(const cygnet_engine* calls, void* queue, int fd, uint32_t depth, int bell);
// Ends the thread. The plug-in's queue, which the caller destroys.
void* EndQueue(ChildQueue* queue);

}  // namespace cygnet::isolation
