#include "daemon/fence/fence_command.h"

#include <unistd.h>

#include <regex>
#include <sstream>

#include "base/log.h"
#include "daemon/audit/audit.h"
#include "daemon/fence/fence_means.h"
#include "daemon/fence/interface_name.h"
#include "netlink/doorstep.h"

namespace cygnet {
namespace {

void Record(const std::string& text) {
  std::vector<std::unique_ptr<AuditSink>> sinks;
  sinks.push_back(MakeJournalSink());
  if (auto sink = MakeLinuxAuditSink()) sinks.push_back(*std::move(sink));
  const SystemClock clock;
  Audit(std::move(sinks), &clock).Command(text, getuid(), getpid());
}

std::string WireOf(const std::string& name, const Config* config) {
  if (config == nullptr) return name;
  for (const DeviceConfig& device : config->devices) {
    if (device.name == name && device.owns_interface) return device.wire;
  }
  return name;
}

// An alternative name is a fault, and its interface is shut nevertheless.
Status ShutNamed(const std::string& wire, FenceMeans* means) {
  if (IsLoopback(wire)) return CheckInterfaceName(wire);
  const Status status = means->Shut(OwnNameOf(wire));
  // A running cygnetd owns the tables and keeps the wire shut.
  const bool owned = !status && status.error().code == Errc::kPermission && !Doorstep::Claim();
  return status || owned ? CheckInterfaceName(wire) : status;
}

}  // namespace

std::vector<std::string> WiresNamedIn(const std::string& text) {
  static const std::regex kLine(R"re((?:^|[\s{,])["']?wire["']?\s*=\s*["']([^"'/\s]{1,15})["'])re");
  constexpr std::size_t kLongest = 2000;  // std::regex uses stack in proportion to the line
  std::vector<std::string> wires;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find_first_not_of(" \t");
    if (first == std::string::npos || line[first] == '#' || line.size() > kLongest) continue;
    for (std::sregex_iterator match(line.begin(), line.end(), kLine), end; match != end; ++match) {
      wires.push_back((*match)[1]);
    }
  }
  return wires;
}

std::vector<std::string> FencedWires(const Config& config) {
  std::vector<std::string> wires;
  for (const DeviceConfig& device : config.devices) {
    if (device.owns_interface && device.wire_fence == FenceMode::kNft) wires.push_back(device.wire);
  }
  return wires;
}

Status ShutWires(const std::vector<std::string>& wires) {
  auto means = FenceMeans::Open();
  if (!means) return means.error();
  Status first;
  for (const std::string& wire : wires) {
    const Status status = ShutNamed(wire, &*means);
    if (!status && first)
      first = MakeError(status.error().code, wire + ": " + status.error().message);
  }
  return first;
}

Result<std::string> ReleaseWire(const std::string& name, const Config* config) {
  const auto instance = Doorstep::Claim();
  if (!instance) {
    return MakeError(Errc::kBusy, instance.error().message +
                                      ": stop it first (systemctl stop cygnetd); a wire in use "
                                      "cannot be released");
  }
  const std::string wire = WireOf(name, config);
  auto means = FenceMeans::Open();
  if (!means) return means.error();
  if (!means->Exists(wire)) {
    return MakeError(Errc::kNoEntry, "no fence of Cygnet's on '" + wire + "'");
  }
  CYGNET_RETURN_IF_ERROR(means->Release(wire));
  Record("release " + wire);
  return wire;
}

}  // namespace cygnet
