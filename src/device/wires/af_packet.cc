// Driver "af_packet": a plain wire interface through AF_PACKET. Does no cryptography itself.
#include "device/wires/wire_port.h"

namespace cygnet {

extern const DriverInfo kAfPacketDriver;
const DriverInfo kAfPacketDriver = {
    .name = "af_packet",
    .help = "a plain wire interface by AF_PACKET rings; all cryptography on the CPU",
    .create =
        [](const DriverParams& params) { return OpenPlainDevice(WireDriver::kAfPacket, params); },
};

}  // namespace cygnet
