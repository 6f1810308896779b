// Inside interfaces: interfaces of the host whose packets for protected networks go straight to the
// workers.
#include <sys/epoll.h>

#include <map>

#include "daemon/config/config_inside.h"
#include "daemon/cygnetd/check.h"
#include "daemon/cygnetd/runtime.h"

namespace cygnet {
namespace {

std::vector<InsideControl::Name> InsideNames(const Config& config) {
  std::vector<InsideControl::Name> names;
  std::map<std::string, uint8_t> ports;
  for (std::size_t device = 0; device < config.devices.size(); ++device) {
    for (const std::string& name : config.devices[device].inside) {
      const auto next = static_cast<uint8_t>(ports.size());
      const auto port = ports.try_emplace(LowerOfInside(name), next).first;
      names.push_back({.interface = name,
                       .port = port->second,
                       .vlan = VlanOfInside(name),
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
