// The wires: shut and awaited before the daemon serves, then followed, and reopened when they come
// back.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/cygnetd/runtime.h"
#include "daemon/fence/interface_name.h"
#include "daemon/fence/wire_link.h"

namespace cygnet {

std::vector<std::string> MissingWires(const Config& config) {
  std::vector<std::string> missing;
  for (const DeviceConfig& device : config.devices) {
    if (!device.owns_interface || if_nametoindex(device.wire.c_str()) != 0) continue;
    missing.push_back(device.wire);
  }
  return missing;
}

std::string WireAddresses(const std::string& wire) {
  auto route = KernelNetlink::Open(NETLINK_ROUTE);
  const uint32_t ifindex = if_nametoindex(wire.c_str());
  return route && ifindex != 0 ? AddressesByPeople(&*route, ifindex) : std::string{};
}

// Shut, it would cut off programs of the host from each other.
Status Runtime::RefuseLoopback() const {
  for (const DeviceConfig& device : config_.devices) {
    if (!device.owns_interface || !IsLoopback(device.wire)) continue;
    return In("device " + device.name + ": wire", CheckInterfaceName(device.wire).error());
  }
  return {};
}

// An alternative name is refused later (CheckConfig), and its interface is shut nevertheless.
Status Runtime::ShutWires() {
  auto fence = WireFence::Create();
  if (!fence) return fence.error();
  fence_ = *std::move(fence);
  for (DeviceConfig& device : config_.devices) {
    // Without an interface there is nothing to keep the host's stack away from.
    if (!device.owns_interface) continue;
    device.wire = OwnNameOf(device.wire);
    if (device.wire_fence == FenceMode::kNone) {
      Log(LogLevel::kWarning,
          fmt::format("device {}: wire_fence = none: nothing keeps the host's stack from receiving "
                      "and sending plaintext on {} (cygnetd --release removes an earlier fence)",
                      device.name, device.wire));
      continue;
    }
    if (const Status shut = fence_->Add(device.name, device.wire); !shut) {
      return MakeError(shut.error().code,
                       fmt::format("device {}: cannot keep the host's stack away from {} (this "
                                   "needs CAP_NET_ADMIN and a kernel with nftables netdev hooks; "
                                   "or set wire_fence = \"none\" and keep it away yourself): {}",
                                   device.name, device.wire, shut.error().message));
    }
  }
  return {};
}

// For a NIC whose driver loads late at boot, or that is plugged in later.
Status Runtime::WaitForWires() {
  constexpr useconds_t kPauseUs = 100'000;
  std::string told;
  for (;;) {
    const std::vector<std::string> missing = MissingWires(config_);
    fence_->OnEvents();
    fence_->Turn(clock_.MonotonicNs());
    if (missing.empty()) return {};
    if (hooks_.signals->stop != 0) {
      return MakeError(Errc::kNoDevice, "stopped while waiting for " + missing.front());
    }
    if (missing.front() != told) {
      told = missing.front();
      Log(LogLevel::kWarning, "waiting for " + told + " (its name is shut)");
      hooks_.manager->Waiting("waiting for " + told);
    }
    usleep(kPauseUs);
  }
}

// The command names the wire, because that works without a configuration file.
std::string Runtime::WhatStaysShut() const {
  std::vector<std::string> wires;
  std::vector<std::string> commands;
  for (const DeviceConfig& device : config_.devices) {
    const FenceStatus* fence = fence_ ? fence_->status(device.name) : nullptr;
    if (fence == nullptr || fence->state == "none") continue;
    wires.push_back(fmt::format("{} (of {})", device.wire, device.name));
    commands.push_back("cygnetd --release " + device.wire);
  }
  if (wires.empty()) return {};
  return fmt::format("; the host's own stack stays shut out of wire{} {}; to release {}: {}",
                     wires.size() == 1 ? "" : "s", fmt::join(wires, ", "),
                     wires.size() == 1 ? "it" : "one", fmt::join(commands, ", "));
}

Status Runtime::WatchWires() {
  watch_ = std::make_unique<WireWatch>(WireWatch::Hooks{
      .shut = [this](const WatchedWire& wire) { return ShutAgain(wire); },
      .tell = [this](const std::string& device, const std::string& state,
                     const std::string& text) { audit_->Device(device, state, text); },
      .changed =
          [this] {
            path_->BumpGeneration();
            for (auto& bell : path_->bells) bell->Ring();
          }});
  for (const auto& link : links_) {
    if (!link->config.owns_interface) continue;
    watch_->Add({.device = link->config.name,
                 .wire = link->config.wire,
                 .port = link->wire.port.get(),
                 .host = link->host.get(),
                 .own_mtu = link->config.mtu != 0});
  }
  return poller_->Add(link_events_->event_fd(), EPOLLIN, [this](uint32_t) {
    const LinkChanges changes = link_events_->Drain();
    if (!changes.any) return;
    watch_->Look(changes);
    control_->tunnel_requests().OnLinkChanges(changes);
  });
}

// For a wire that came back: its fence went away with the old interface.
Status Runtime::ShutAgain(const WatchedWire& wire) {
  fence_->Check();
  const FenceStatus* fence = fence_->status(wire.device);
  if (fence != nullptr && fence->state != "in-force") {
    return MakeError(Errc::kBusy, fence->explanation);
  }
  CYGNET_RETURN_IF_ERROR(CheckInterfaceName(wire.wire));
  const std::string addresses = WireAddresses(wire.wire);
  if (addresses.empty()) return {};
  return MakeError(Errc::kBusy, fmt::format("it has addresses ({}); remove them: the host must "
                                            "use {} in its place",
                                            addresses, wire.device));
}

std::vector<DoctorRow> Runtime::FenceRows() const {
  std::vector<DoctorRow> rows;
  for (const auto& link : links_) {
    if (!link->config.owns_interface) continue;
    const std::string where =
        fmt::format("device {}, wire {}: ", link->config.name, link->config.wire);
    const FenceStatus* fence = fence_->status(link->config.name);
    if (fence == nullptr) {
      rows.push_back(
          {.check = "fence",
           .ok = false,
           .text = where + "wire_fence = none: Cygnet does not keep the host's stack off",
           .advice = "set wire_fence = \"nft\", or keep the host's stack off yourself"});
      continue;
    }
    const bool ok = fence->state == "in-force" && fence->explanation.empty();
    std::string text = where + fence->state;
    if (fence->restored != 0) text += fmt::format(", restored {} times", fence->restored);
    if (!ok) text += ": " + fence->explanation;
    rows.push_back({.check = "fence",
                    .ok = ok,
                    .text = text,
                    .advice = ok ? "" : "see the log; only Cygnet may use the wire itself"});
  }
  return rows;
}

}  // namespace cygnet
