#include "daemon/config/config_inside.h"

#include <fmt/format.h>

#include <charconv>

#include "datapath/inside.h"

namespace cygnet {
namespace {

std::string WrongName(const Config& config, const std::string& name) {
  const std::string lower = LowerOfInside(name);
  for (const DeviceConfig& other : config.devices) {
    if (lower != other.name && lower != other.wire) continue;
    return fmt::format(
        "\"{}\": {} belongs to device {}: name an interface of the networks behind this gateway",
        name, lower, other.name);
  }
  for (const TunnelSpec& tunnel : config.tunnels) {
    if (lower != tunnel.name) continue;
    return fmt::format(
        "\"{}\" is a tunnel interface: its packets skip the host by the interface that they come "
        "from",
        name);
  }
  return {};
}

}  // namespace

uint16_t VlanOfInside(const std::string& name) {
  constexpr uint16_t kLast = 4094;
  const std::size_t dot = name.rfind('.');
  uint16_t vlan = 0;
  if (dot == std::string::npos || dot == 0) return 0;
  const char* const end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + dot + 1, end, vlan);
  return error == std::errc() && rest == end && vlan <= kLast ? vlan : 0;
}

std::string LowerOfInside(const std::string& name) {
  return VlanOfInside(name) == 0 ? name : name.substr(0, name.rfind('.'));
}

std::string WrongInside(const Config& config, const DeviceConfig& device) {
  std::size_t count = 0;
  for (const DeviceConfig& other : config.devices) count += other.inside.size();
  if (count > Inside::kMax) {
    return fmt::format("at most {} interfaces of all devices together", Inside::kMax);
  }
  for (const std::string& name : device.inside) {
    std::string wrong = WrongName(config, name);
    if (!wrong.empty()) return wrong;
  }
  return {};
}

}  // namespace cygnet
