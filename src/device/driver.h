// Drivers of wire-side devices: one row of the built-in table each (device/CMakeLists.txt). A row
// is either a wire, which brings frames to an interface and offloads nothing, or a card. All
// functions of a row are called by the control thread. doc/adding_a_driver.md begins with an
// example.
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
#include "device/egress_guard.h"
#include "device/offload_device.h"
#include "device/port.h"
#include "settings/fields.h"

namespace cygnet {

// The keys of a [[device]] table that are the driver's own, with where they stand in the file.
using Options = TomlTable;

// What a driver makes of its options before anything is opened.
struct DeviceOptions {
  Options options = {};                   // every key that the driver has, defaults among them
  bool owns_interface = true;             // false: it has no use for the key `wire`
  std::optional<uint32_t> sa_slots = {};  // of each direction, where the options say it
};

// What every driver is given.
struct DriverParams {
  std::string name;     // what operators call the device: the host-side interface
  std::string wire;     // the interface to own; empty: none
  uint32_t queues = 1;  // one per worker
  // These three outlive the device.
  PacketPools* pools = nullptr;
  CapturePoints* capture = nullptr;  // nullptr: nobody captures
  EgressGuard* guard = nullptr;      // of this wire; there must be one
  Options options = {};              // as the driver's `check` returned them
};

// What is known of a network interface before it is opened.
struct WireFacts {
  int ifindex = 0;
  MacAddress mac{};
  uint32_t mtu = 0;
  std::string kernel_driver;  // "veth", "virtio_net", "ice" …; empty: the kernel does not say
  uint32_t receive_queues = 1;
};

// Whether a wire is right for an interface that nobody chose a wire for.
struct WireVerdict {
  bool suits = false;
  std::string reason;  // for the log
};

// A device: always a port, perhaps one that offloads.
struct Device {
  std::unique_ptr<Port> port;
  OffloadDevice* offload = nullptr;  // the same object as *port, or nullptr
};

Result<DeviceOptions> CheckNoOptions(const Options& options);

struct DriverInfo {
  std::string_view name;  // `driver = "…"`
  std::string_view help;
  // The driver's own keys; nullptr: it has none.
  std::vector<FieldInfo> (*keys)() = nullptr;
  // Whether values are allowed. Opens nothing, and reads no other file. Errors by Options::Wrong.
  Result<DeviceOptions> (*check)(const Options& options) = CheckNoOptions;
  // Whether files that the options name can be used; part of `cygnetd --check`.
  Status (*check_files)(const Options& options) = nullptr;

  // A wire has `open`. The port is put behind the guard by who calls it (OpenWire).
  Result<std::unique_ptr<Port>> (*open)(const DriverParams& params) = nullptr;
  // Of a wire that `auto` may choose; the first of the table that suits is taken.
  WireVerdict (*probe)(const WireFacts& facts) = nullptr;

  // A card has `create`. It opens a wire for itself (OpenWire), with the guard between.
  Result<Device> (*create)(const DriverParams& params) = nullptr;
};

std::span<const DriverInfo* const> BuiltinDrivers();
const DriverInfo* FindDriver(std::string_view name);

// A wire becomes a device that is nothing but this wire.
Result<Device> OpenDevice(const DriverInfo& driver, const DriverParams& params);

// For `check`: what the keys say, over the values that T begins with.
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
  Options all{.source = options.source, .section = options.section, .line = options.line};
  ShowFields(fields, values, &all);
  for (TomlEntry& entry : all.entries) {
    if (const TomlEntry* written = options.Find(entry.key)) entry.line = written->line;
  }
  return all;
}

}  // namespace cygnet
