// Driver "pcap":  one is replayed, what is sent goes to the other:capture files in place of a wire
// (pcap_port.h).
#include "device/wires/wire_port.h"

namespace cygnet {

extern const DriverInfo kPcapDriver;
const DriverInfo kPcapDriver = {
    .name = "pcap",
    .help = "capture files in place of a wire",
    .create = [](const DriverParams& params) { return OpenPlainDevice(WireDriver::kPcap, params); },
};

}  // namespace cygnet
