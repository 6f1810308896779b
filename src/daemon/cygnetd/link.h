// Link: one [[device]] of the configuration: the wire with its seal guard and its device, and the
// interface that the host uses in place of the wire.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "control/host_network.h"
#include "daemon/config/config.h"
#include "datapath/data_path.h"
#include "datapath/shadow/device_shadow.h"
#include "datapath/wire_seal_guard.h"
#include "device/capture.h"
#include "device/driver.h"
#include "device/host/tap.h"
#include "packet/packet_pool.h"

namespace cygnet {

struct Link {
  DeviceConfig config;
  CapturePoints capture;
  std::unique_ptr<WireSealGuard> guard;
  // Outlives the guard's thread, which is the device's. nullptr: no offload.
  std::unique_ptr<DeviceShadow> shadow;
  Device wire;
  std::unique_ptr<TapPort> host;
};

// What every link needs; all of it outlives the links.
struct LinkBuilder {
  DataPath* path;
  PacketPools* pools;
  uint32_t workers;
  const EngineSet* engines;
  DescriptorKeeper* keeper;  // nullptr: no descriptor outlives the process

  // Opens both ends and connects them in the data path.
  Result<std::unique_ptr<Link>> Make(const DeviceConfig& config) const;

 private:
  Status OpenWire(Link* link) const;
  Status OpenHost(Link* link) const;
};

// Writes the interface alias from which the shim tells IKE daemons and ethtool what the interface
// offloads. `offered`: nullptr without offload.
Status MarkHostInterface(const Link& link, const OffloadCaps* offered, HostNetwork* network);

}  // namespace cygnet
