// Inputs of placement: devices, rules, the gate for keys, and queries to the host.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/fence_status.h"
#include "control/inside_report.h"
#include "crypto/engine_set.h"
#include "datapath/placement_check.h"
#include "datapath/shadow/device_shadow.h"
#include "device/capture.h"
#include "device/offload_device.h"
#include "device/port.h"
#include "net/address.h"

namespace cygnet {

// What happens to SAs when their device's link goes down or the device is removed.
enum class DeviceLoss : uint8_t {
  kKeep,    // they move; listeners are notified by UPDSA
  kKernel,  // they are deleted without a message, as a Linux kernel does
};

// The settings of a device that may change at run time.
struct DeviceTerms {
  PlacementMode mode = PlacementMode::kCrypto;
  bool trusted = true;
  bool allow_crypto = true;
  bool allow_packet = true;
  uint32_t rekey_reserve = 0;  // slots of each direction
  DeviceLoss loss = DeviceLoss::kKeep;
  uint32_t verify = 0;  // the CPU computes one of so many packets again; 0: none
};

// A device of the configuration, as the control plane keeps it.
struct ControlDevice {
  std::string name{};  // host-side interface
  std::string wire{};
  std::string driver{};
  int32_t ifindex = 0;
  Port* host_port = nullptr;
  Port* wire_port = nullptr;
  OffloadDevice* offload = nullptr;
  CapturePoints* capture = nullptr;
  DeviceShadow* shadow = nullptr;      // of `offload`; nullptr: its packets are never verified
  const FenceStatus* fence = nullptr;  // nullptr: it has none
  DeviceTerms terms{};
  std::function<std::vector<InsideReport>()> inside{};  // its inside interfaces; empty: none
  std::function<HostSideReport()> host_side{};          // empty: it cannot go away
};

// A [[placement]] table: every field given must match; the first matching rule decides.
struct PlacementRule {
  std::string name{};
  std::optional<Reqid> reqid{};
  std::optional<AddressPrefix> peer{};  // the SA's far end
  std::optional<AddressPrefix> src{};   // within the SA's selector
  std::optional<AddressPrefix> dst{};
  std::optional<Half> half{};
  PlacementMode mode = PlacementMode::kAuto;
  int32_t ifindex = 0;  // of its device; 0 = as the client requested, else any
  bool pin = false;
};

struct SchedulerParams {
  bool enabled = false;
  uint32_t interval_seconds = 5;
  uint32_t hysteresis_percent = 200;    // a newcomer must be this much busier
  uint32_t min_residence_seconds = 10;  // minimum time that an SA keeps its slot
  uint32_t max_moves = 16;              // per interval
  bool operator==(const SchedulerParams&) const = default;
};

// What a reload of the configuration may change.
struct PlacementSettings {
  std::vector<DeviceTerms> devices;  // in the order of the devices
  std::vector<PlacementRule> rules;
  SchedulerParams scheduler;
};

// Trust and FIPS: who may get keys. nullopt: allowed.
class PlacementGate {
 public:
  virtual ~PlacementGate() = default;
  virtual std::optional<PlacementReason> DenyDevice(const ControlDevice& device,
                                                    uint64_t now) const = 0;
  virtual std::optional<PlacementReason> DenyEngine(const EngineSet& engines, uint32_t number,
                                                    uint64_t now) const = 0;
  virtual std::optional<PlacementReason> DenyAlgorithm(const SaSpec& spec) const = 0;
};

// Placement's queries to the host.
struct PlacementHost {
  std::function<bool(int32_t)> interface_exists = [](int32_t) { return true; };
  // The device below a bridge, bond or VLAN; 0: none.
  std::function<int32_t(int32_t)> device_under = [](int32_t) { return 0; };
  // The interface that a packet to the address leaves by; 0: none.
  std::function<int32_t(const IpAddress&, IpFamily)> egress_of = [](const auto&, auto) {
    return 0;
  };
};

}  // namespace cygnet
