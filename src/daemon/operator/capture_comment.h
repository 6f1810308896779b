// What a capture says about a frame: the ESP packet that it belongs to, and comments.
#pragma once

#include <cstdint>
#include <string_view>

#include "control/report.h"
#include "daemon/operator/pcapng.h"
#include "device/capture.h"

namespace cygnet {

// The ESP packet that a frame is, or that it became or came by; spi 0: none. ESP in UDP counts if
// its SA exists.
CaptureLink LinkOf(const OperatorControl& control, const CapturedFrame& frame);

// The same for a packet in clear and its ESP packet, and for that packet at both of its hosts. A
// replayed ESP packet has the id of the one that it repeats.
uint64_t PacketIdOf(const CaptureLink& link);

// `device`: whose frames these are. The placement is that of the SA at the time of the call,
// "placement out: crypto nic0 (requested)".
pcapng::PacketNotes NotesOf(const OperatorControl& control, const CapturedFrame& frame,
                            const CaptureLink& link, std::string_view device);

}  // namespace cygnet
