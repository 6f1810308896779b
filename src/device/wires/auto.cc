// Driver "auto": a plain wire interface, by what ChooseWireDriver says.
#include "device/wires/wire_port.h"

namespace cygnet {

extern const DriverInfo kAutoDriver;
const DriverInfo kAutoDriver = {
    .name = "auto",
    .help = "a plain wire interface by the driver that suits it; all cryptography on the CPU",
    .create = [](const DriverParams& params) { return OpenPlainDevice(WireDriver::kAuto, params); },
};

}  // namespace cygnet
