#include "device/wires/wire_port.h"

#include <algorithm>
#include <cstring>

#include "base/errno_error.h"
#include "base/log.h"
#include "device/host/host_link.h"

namespace cygnet {
namespace {

// Adds the capture points. Without a card in between, the host side and the wire side see the same
// frames, except for those that the guard stops.
class PlainPort final : public Port {
 public:
  PlainPort(std::unique_ptr<Port> port, CapturePoints* capture, std::string name)
      : port_(std::move(port)), capture_(capture), name_(std::move(name)) {}

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return port_->mac(); }
  uint32_t mtu() const override { return port_->mtu(); }
  uint32_t queues() const override { return port_->queues(); }
  PortStats stats() const override { return port_->stats(); }
  bool TakesSuperPackets() const override { return port_->TakesSuperPackets(); }
  LinkStatus link() const override { return port_->link(); }
  Status Follow(const PortLink& link) override { return port_->Follow(link); }
  int wait_fd(uint32_t queue) const override { return port_->wait_fd(queue); }
  bool PrepareWait(uint32_t queue) override { return port_->PrepareWait(queue); }
  void FinishWait(uint32_t queue) override { port_->FinishWait(queue); }

  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override {
    const uint32_t before = out->size();
    const uint32_t n = port_->Receive(queue, out, sink);
    if (capture_ != nullptr) {
      const std::span<Packet*> arrived = out->packets().subspan(before);
      capture_->host.Offer(arrived, CaptureDirection::kInbound);
      capture_->wire.Offer(arrived, CaptureDirection::kInbound);
    }
    return n;
  }
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override {
    if (capture_ != nullptr) capture_->host.Offer(batch->packets(), CaptureDirection::kOutbound);
    port_->Transmit(queue, batch, sink);
  }

 private:
  std::unique_ptr<Port> port_;
  CapturePoints* const capture_;
  const std::string name_;
};

// Neither answer is required: an interface without them counts as a plain one with one queue.
void AskEthtool(const NamedInterface& link, WireFacts* facts) {
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (link.Ethtool(&driver)) {
    facts->kernel_driver.assign(driver.driver, strnlen(driver.driver, sizeof(driver.driver)));
  }
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (link.Ethtool(&channels)) {
    facts->receive_queues = std::max(1u, channels.combined_count + channels.rx_count);
  }
}

}  // namespace

std::vector<std::string_view> WireNames() {
  std::vector<std::string_view> names;
  for (const DriverInfo* row : BuiltinDrivers()) {
    if (row->open != nullptr) names.push_back(row->name);
  }
  return names;
}

std::vector<FieldInfo> WireKeys() {
  std::vector<FieldInfo> all;
  for (const DriverInfo* row : BuiltinDrivers()) {
    if (row->open == nullptr || row->keys == nullptr) continue;
    for (FieldInfo& key : row->keys()) all.push_back(std::move(key));
  }
  return all;
}

void LogWire(const DriverParams& params, std::string_view wire, const std::string& why) {
  Log(LogLevel::kInfo,
      "device " + params.name + ": wire " + params.wire + " by " + std::string(wire) + ": " + why);
}

Result<WireFacts> ProbeWire(const std::string& interface) {
  if (interface.empty() || interface.size() >= IFNAMSIZ) {
    return MakeError(Errc::kInvalid, "interface name '" + interface + "' must have 1 to 15 bytes");
  }
  WireFacts facts;
  const NamedInterface link(interface);
  ifreq request = link.Request();
  if (!link.Call(SIOCGIFINDEX, &request)) return ErrnoError("wire interface " + interface);
  facts.ifindex = request.ifr_ifindex;
  if (!link.Call(SIOCGIFHWADDR, &request)) return ErrnoError("MAC of " + interface);
  std::memcpy(facts.mac.data(), request.ifr_hwaddr.sa_data, facts.mac.size());
  if (!link.Call(SIOCGIFMTU, &request)) return ErrnoError("MTU of " + interface);
  facts.mtu = static_cast<uint32_t>(request.ifr_mtu);
  AskEthtool(link, &facts);
  return facts;
}

PortLink LookAtLink(const std::string& interface) {
  const auto facts = ProbeWire(interface);
  if (!facts) return {.status = LinkStatus::kGone};
  const NamedInterface link(interface);
  ifreq request = link.Request();
  if (!link.Call(SIOCGIFFLAGS, &request)) return {.status = LinkStatus::kGone};
  // If a kernel driver cannot report carrier, a running interface counts as having it.
  const int flags = request.ifr_flags;
  ethtool_value carrier{.cmd = ETHTOOL_GLINK, .data = 0};
  if (!link.Ethtool(&carrier)) carrier.data = (flags & IFF_RUNNING) != 0 ? 1 : 0;
  const LinkStatus status = (flags & IFF_UP) == 0 ? LinkStatus::kDown
                            : carrier.data == 0   ? LinkStatus::kNoCarrier
                                                  : LinkStatus::kUp;
  return {.status = status, .ifindex = facts->ifindex, .mtu = facts->mtu, .mac = facts->mac};
}

Result<WireFacts> TakeWire(const std::string& interface) {
  auto facts = ProbeWire(interface);
  if (facts && !NamedInterface(interface).BringUp()) return ErrnoError("set link up");
  return facts;
}

Options WireOptionsOf(const Options& options, const std::vector<FieldInfo>& own) {
  Options rest = options;
  std::erase_if(rest.entries, [&own](const TomlEntry& entry) {
    return std::any_of(own.begin(), own.end(),
                       [&entry](const FieldInfo& field) { return field.key == entry.key; });
  });
  return rest;
}

Result<DeviceOptions> CheckWireOptions(const std::string& wire_driver, const Options& options) {
  const DriverInfo& driver = *FindDriver(wire_driver);
  if (driver.keys == nullptr && !options.entries.empty()) {
    return options.Wrong(options.entries.front().key,
                         "wire_driver \"" + wire_driver + "\" does not have this key");
  }
  return driver.check(options);
}

Result<std::unique_ptr<Port>> OpenWire(std::string_view name, const DriverParams& params) {
  const DriverInfo* wire = FindDriver(name);
  if (wire == nullptr || wire->open == nullptr) {
    return MakeError(Errc::kNoEntry, "unknown wire driver '" + std::string(name) + "'");
  }
  auto port = wire->open(params);
  if (!port) return port.error();
  if (name != kAutoWire) LogWire(params, name, "as configured");
  return std::unique_ptr<Port>(new GuardedPort(*std::move(port), params.guard, params.capture));
}

Result<Device> OpenPlainDevice(const DriverInfo& wire, const DriverParams& params) {
  auto port = OpenWire(wire.name, params);
  if (!port) return port.error();
  Device device;
  device.port = std::make_unique<PlainPort>(*std::move(port), params.capture, params.name);
  return device;
}

}  // namespace cygnet
