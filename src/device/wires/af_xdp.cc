// Driver "af_xdp": a plain wire interface through AF_XDP. Does no cryptography itself.
#include "device/wires/wire_port.h"

namespace cygnet {

extern const DriverInfo kAfXdpDriver;
const DriverInfo kAfXdpDriver = {
    .name = "af_xdp",
    .help =
        "a plain wire interface by AF_XDP, past the kernel's stack; all cryptography on the CPU",
    .create =
        [](const DriverParams& params) { return OpenPlainDevice(WireDriver::kAfXdp, params); },
};

}  // namespace cygnet
