// Driver "plugin": a driver by others (include/cygnet/driver.h) in a shared library.
#include "base/log.h"
#include "device/wires/wire_port.h"
#include "plugin/plugin_device.h"
#include "plugin/plugin_keys.h"
#include "plugin/trial.h"

namespace cygnet {
namespace {

struct PluginOptions {
  std::string plugin = {};
  std::vector<std::string> options = {};
  bool isolate = false;
  std::string isolate_user = IsolationSettings().user;
  std::string wire_driver{kAutoWire};
};

const std::vector<Field<PluginOptions>>& PluginFields() {
  using O = PluginOptions;
  static const std::vector<Field<O>> kFields = {
      {"plugin", &O::plugin, LibraryPath(), "shared library of the driver", KeyKind::kNeeded},
      {"plugin_options", &O::options, KeyValues(), "what the driver gets when it opens the device"},
      {"isolate", &O::isolate, Flag(), "whether the driver runs in a process of its own"},
      {"isolate_user", &O::isolate_user, TextNotEmpty(), "user of that process"},
      {"wire_driver", &O::wire_driver, WordOf(WireNames),
       "driver of the wire below it, if the plug-in uses one"},
  };
  return kFields;
}

std::vector<FieldInfo> Keys() {
  std::vector<FieldInfo> keys = InfoOf(PluginFields());
  for (FieldInfo& key : WireKeys()) keys.push_back(std::move(key));
  return keys;
}

Options WireOptions(const Options& options) {
  return WireOptionsOf(options, InfoOf(PluginFields()));
}

Result<PluginOptions> Read(const Options& options) {
  PluginOptions read;
  CYGNET_RETURN_IF_ERROR(ReadFields(options, PluginFields(), &read));
  return read;
}

Result<DriverPlugin> Load(const PluginOptions& options) {
  const IsolationSettings isolation{.user = options.isolate_user};
  return LoadDriver(options.plugin, PluginTrust::kNobodyElse,
                    options.isolate ? &isolation : nullptr);
}

Result<DeviceOptions> Check(const Options& options) {
  const auto own = Read(options);
  if (!own) return own.error();
  auto wire = CheckWireOptions(own->wire_driver, WireOptions(options));
  if (!wire) return wire.error();
  DeviceOptions all{.options = ShowOptions(options, PluginFields(), *own),
                    .owns_interface = wire->owns_interface};
  for (TomlEntry& entry : wire->options.entries) all.options.entries.push_back(std::move(entry));
  return all;
}

Status CheckFiles(const Options& options) {
  const auto own = Read(options);
  if (!own) return own.error();
  const auto plugin = Load(*own);
  return plugin ? Status() : plugin.error();
}

// A wire that nobody is at.
class QuietWire final : public Port {
 public:
  explicit QuietWire(uint32_t queues) : queues_(queues) {}
  std::string_view name() const override { return "trial"; }
  MacAddress mac() const override { return {2, 0, 0, 0, 0, 1}; }
  uint32_t mtu() const override { return 1500; }
  uint32_t queues() const override { return queues_; }
  PortStats stats() const override { return {}; }
  uint32_t Receive(uint32_t, PacketBatch*, DropSink*) override { return 0; }
  void Transmit(uint32_t, PacketBatch* batch, DropSink* sink) override {
    batch->DropAll(DropReason::kPortDown, sink);
  }
  int wait_fd(uint32_t) const override { return -1; }
  bool PrepareWait(uint32_t) override { return true; }
  void FinishWait(uint32_t) override {}

 private:
  const uint32_t queues_;
};

uint32_t WireQueues(const DriverPlugin& plugin, uint32_t queues) {
  return plugin.driver.wire == CYGNET_WIRE_ONE ? 1 : queues;
}

Status OpenAndClose(const DriverParams& params, const PluginOptions& options) {
  const auto plugin = Load(options);
  if (!plugin) return plugin.error();
  constexpr uint32_t kPackets = 512;
  PacketPools pools(kPackets, 1);
  std::unique_ptr<Port> wire;
  if (plugin->driver.wire != CYGNET_WIRE_NONE) {
    wire = std::make_unique<QuietWire>(WireQueues(*plugin, params.queues));
  }
  const auto opened = PluginDevice::Open(*plugin, {.name = params.name,
                                                   .wire_name = params.wire,
                                                   .queues = params.queues,
                                                   .pools = &pools,
                                                   .wire = std::move(wire),
                                                   .options = options.options});
  return opened ? Status() : opened.error();
}

Status TryOpen(const DriverParams& params) {
  const auto options = Read(params.options);
  if (!options) return options.error();
  return Try(options->plugin, [&] { return OpenAndClose(params, *options); });
}

Result<Device> Create(const DriverParams& params) {
  const auto options = Read(params.options);
  if (!options) return options.error();
  const auto plugin = Load(*options);
  if (!plugin) return plugin.error();
  std::unique_ptr<Port> wire;
  if (plugin->driver.wire != CYGNET_WIRE_NONE) {
    DriverParams wire_params = params;
    wire_params.queues = WireQueues(*plugin, params.queues);
    wire_params.options = WireOptions(params.options);
    auto opened = OpenWire(options->wire_driver, wire_params);
    if (!opened) return opened.error();
    wire = *std::move(opened);
  }
  auto opened = PluginDevice::Open(*plugin, {.name = params.name,
                                             .wire_name = params.wire,
                                             .queues = params.queues,
                                             .pools = params.pools,
                                             .wire = std::move(wire),
                                             .capture = params.capture,
                                             .guard = params.guard,
                                             .options = options->options});
  if (!opened) return opened.error();
  Log(LogLevel::kInfo, params.name + ": driver " + plugin->Title() + " by " +
                           plugin->driver.vendor + ", SHA-256 " + plugin->sha256);
  Device device;
  device.offload = opened->get();
  device.port = *std::move(opened);
  return device;
}

}  // namespace

extern const DriverInfo kPluginDriver = {
    .name = "plugin",
    .help = "a driver by others in a shared library",
    .keys = Keys,
    .check = Check,
    .check_files = CheckFiles,
    .try_open = TryOpen,
    .create = Create,
};

}  // namespace cygnet
