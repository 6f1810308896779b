// Inside interfaces: interfaces of the host whose packets for protected networks go straight to the
// workers.
#include <sys/epoll.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "daemon/cygnetd/check.h"
#include "daemon/cygnetd/runtime.h"

namespace cygnet {
namespace {

// "lan0.100" is VLAN 100 of lan0; anything else an interface of its own.
uint16_t VlanOf(const std::string& name) {
  constexpr uint16_t kLast = 4094;
  const std::size_t dot = name.rfind('.');
  uint16_t vlan = 0;
  if (dot == std::string::npos || dot == 0) return 0;
  const char* const end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + dot + 1, end, vlan);
  return error == std::errc() && rest == end && vlan <= kLast ? vlan : 0;
}

std::string LowerOf(const std::string& name) {
  return VlanOf(name) == 0 ? name : name.substr(0, name.rfind('.'));
}

std::vector<InsideControl::Name> InsideNames(const Config& config) {
  std::vector<InsideControl::Name> names;
  std::map<std::string, uint8_t> ports;
  for (std::size_t device = 0; device < config.devices.size(); ++device) {
    for (const std::string& name : config.devices[device].inside) {
      const auto next = static_cast<uint8_t>(ports.size());
      const auto port = ports.try_emplace(LowerOf(name), next).first;
      names.push_back({.interface = name,
                       .port = port->second,
                       .vlan = VlanOf(name),
                       .device = static_cast<uint8_t>(device)});
    }
  }
  return names;
}

}  // namespace

// REQUIRES: the devices are in the data path, and no worker runs.
Status Runtime::OpenInside(const Config& config) {
  const std::vector<InsideControl::Name> names = InsideNames(config);
  if (names.empty()) return {};
  if (names.size() > Inside::kMax) {
    return MakeError(Errc::kInvalid, "inside: at most " + std::to_string(Inside::kMax) +
                                         " interfaces of all devices together");
  }
  for (const InsideControl::Name& name : names) {
    const std::string lower = LowerOf(name.interface);
    for (const DeviceConfig& device : config.devices) {
      if (lower != device.name && lower != device.wire) continue;
      return MakeError(Errc::kInvalid, "device " + device.name + ": " + lower +
                                           " cannot be its interface and an inside interface");
    }
  }
  auto network = HostNetwork::Create(NetworkEvents::kForwarding);
  if (!network) return network.error();
  auto tables = InsideTables::Create();
  if (!tables) return In("inside", tables.error());
  inside_ = std::make_unique<InsideControl>(InsideControl::Parts{.path = path_.get(),
                                                                 .links = host_links_.get(),
                                                                 .clock = &clock_,
                                                                 .network = *std::move(network),
                                                                 .tables = *std::move(tables)});
  const auto sharers = static_cast<uint32_t>(names.size() + config.devices.size());
  for (const InsideControl::Name& name : names) inside_->Add(name, sharers, &pools_->small);
  inside_->Look();
  return poller_->Add(inside_->event_fd(), EPOLLIN,
                      [this](uint32_t) { inside_->OnNetworkEvents(); });
}

std::vector<InsideReport> Runtime::InsideOf(const std::string& device) const {
  if (inside_ == nullptr) return {};
  std::vector<InsideReport> rows = inside_->Report();
  std::erase_if(rows, [&](const InsideReport& row) { return row.device != device; });
  return rows;
}

}  // namespace cygnet
