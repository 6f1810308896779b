// Drivers of wire-side devices: one row of the built-in table each (device/CMakeLists.txt).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "device/capture.h"
#include "device/egress_guard.h"
#include "device/offload_device.h"
#include "device/port.h"

namespace cygnet {

// How frames get to and from a wire.
enum class WireDriver : uint8_t { kAuto, kAfPacket, kAfXdp, kPcap };

// Capture files in place of a wire (wires/pcap_port.h).
struct PcapFiles {
  std::string read;        // replayed; empty: nothing arrives
  std::string write = {};  // what is sent; empty: it is thrown away
  bool recorded_speed = false;
  MacAddress mac = {0x02, 0x43, 0x79, 0x67, 0x6e, 0x01};
  bool operator==(const PcapFiles&) const = default;
};

struct DriverParams {
  std::string name;     // what operators call the device: the host-side interface
  std::string wire;     // the interface to own
  uint32_t queues = 1;  // one per worker
  PacketPools* pools = nullptr;
  CapturePoints* capture = nullptr;
  EgressGuard* guard = nullptr;  // of this wire; there must be one
  PcapFiles pcap = {};
  // Software NIC.
  WireDriver wire_driver = WireDriver::kAuto;
  uint32_t sa_limit = 1024;       // slots of its SA table, of each direction
  uint32_t address_limit = 128;   // receive addresses: destinations of inbound SAs; 0 = no limit
  std::string fault_script = {};  // text of one (sim_nic/sim_nic_script.h); empty: no faults
  uint64_t fault_seed = 1;
  // What it says it is; empty: the software NIC that it is.
  std::string model = {};
  std::string serial = {};
  std::string firmware = {};
};

// A device: always a port, perhaps one that offloads.
struct Device {
  std::unique_ptr<Port> port;
  OffloadDevice* offload = nullptr;  // the same object as *port, or nullptr
};

struct DriverInfo {
  std::string_view name;
  std::string_view help;
  Result<Device> (*create)(const DriverParams& params);
};

std::span<const DriverInfo* const> BuiltinDrivers();
const DriverInfo* FindDriver(std::string_view name);

}  // namespace cygnet
