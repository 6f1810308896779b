// Drivers of wire-side devices: each is one row of the built-in table (device/CMakeLists.txt). A
// row is either a wire, which carries frames of an interface and offloads nothing, or a card. The
// control thread calls all functions of a row. doc/adding_a_driver.md starts with an example.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/capture.h"
#include "device/descriptor_keeper.h"
#include "device/offload_device.h"
#include "device/port.h"
#include "device/seal_guard.h"
#include "settings/fields.h"

namespace cygnet {

// The driver's own keys of a [[device]] table, with their positions in the file.
using Options = TomlTable;

// What a driver derives from its options before it opens anything.
struct DeviceOptions {
  Options options = {};                   // every key of the driver, including defaults
  bool owns_interface = true;             // false: the driver does not use the key `wire`
  std::optional<uint32_t> sa_slots = {};  // of each direction, if the options set it
};

// What every driver receives.
struct DriverParams {
  std::string name;     // the device's name for operators: the host-side interface
  std::string wire;     // the interface to own; empty: none
  uint32_t queues = 1;  // one per worker
  // These four must outlive the device.
  PacketPools* pools = nullptr;
  CapturePoints* capture = nullptr;    // nullptr: no capture
  SealGuard* guard = nullptr;          // of this wire; never nullptr
  DescriptorKeeper* keeper = nullptr;  // nullptr: no descriptor outlives the process
  Options options = {};                // as the driver's `check` returned them
};

// What is known about a network interface before it is opened.
struct WireFacts {
  int ifindex = 0;
  MacAddress mac{};
  uint32_t mtu = 0;
  std::string kernel_driver;  // "veth", "virtio_net", "ice" …; empty: unknown
  uint32_t receive_queues = 1;
};

// True if a wire suits an interface that has no configured wire driver.
struct WireVerdict {
  bool suits = false;
  std::string reason;  // for the log
};

// A device: always a port, and for some drivers an offload.
struct Device {
  std::unique_ptr<Port> port;
  OffloadDevice* offload = nullptr;  // the same object as *port, or nullptr
};

Result<DeviceOptions> CheckNoOptions(const Options& options);

struct DriverInfo {
  std::string_view name;  // `driver = "…"`
  std::string_view help;
  // The driver's own keys; nullptr: none.
  std::vector<FieldInfo> (*keys)() = nullptr;
  // Checks the values. Must not open anything or read another file. Reports errors by
  // Options::Wrong.
  Result<DeviceOptions> (*check)(const Options& options) = CheckNoOptions;
  // Checks the files that the options name; part of `cygnetd --check`.
  Status (*check_files)(const Options& options) = nullptr;
  // Opens what `create` opens, where that does no harm, and closes it again. Of `params` there are
  // no pools, no capture and no guard.
  Status (*try_open)(const DriverParams& params) = nullptr;

  // A wire has `open`. The caller (OpenWire) puts the port behind the guard.
  Result<std::unique_ptr<Port>> (*open)(const DriverParams& params) = nullptr;
  // For a wire that `auto` may choose; the first suitable one of the table is used.
  WireVerdict (*probe)(const WireFacts& facts) = nullptr;

  // A card has `create`. It opens its own wire by OpenWire, which adds the guard.
  Result<Device> (*create)(const DriverParams& params) = nullptr;
};

std::span<const DriverInfo* const> BuiltinDrivers();
const DriverInfo* FindDriver(std::string_view name);

// Makes a device of a wire alone.
Result<Device> OpenDevice(const DriverInfo& driver, const DriverParams& params);

// For `check`: the values of the keys; T's initial values are the defaults.
template <typename T>
Result<T> ReadOptions(const Options& options, const std::vector<Field<T>>& fields) {
  T out;
  CYGNET_RETURN_IF_ERROR(CheckKeys(options, InfoOf(fields)));
  CYGNET_RETURN_IF_ERROR(ReadFields(options, fields, &out));
  return out;
}

// For `check`: every key with its value.
template <typename T>
Options ShowOptions(const Options& options, const std::vector<Field<T>>& fields, const T& values) {
  Options all(options.source, options.section, options.line);
  ShowFields(fields, values, &all);
  for (TomlEntry& entry : all.entries) {
    if (const TomlEntry* written = options.Find(entry.key)) entry.line = written->line;
  }
  return all;
}

}  // namespace cygnet
