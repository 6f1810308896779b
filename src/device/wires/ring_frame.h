// Reads the frames of an AF_PACKET receive ring.
#pragma once

#include "device/wires/packet_ring.h"
#include "packet/packet_batch.h"

namespace cygnet {

// Copies a frame that the kernel has filled, or reads it from the socket if it does not fit its
// slot, into a packet of the thread's caches. nullptr: it was dropped and counted.
Packet* TakeFrame(const PacketRing& ring, uint8_t* frame, DropSink* sink);

}  // namespace cygnet
