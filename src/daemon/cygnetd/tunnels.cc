// The tunnel interfaces of the configuration and of clients.
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "base/errno_error.h"
#include "base/log.h"
#include "daemon/cygnetd/runtime.h"

namespace cygnet {
namespace {

// Each worker has a descriptor of each tunnel. The hard limit is for the operator to raise.
void AllowManyDescriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

// Clients must not use up what devices, operators and files need.
Status CheckDescriptors(std::size_t of_tunnels) {
  constexpr std::size_t kForOthers = 4096;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return ErrnoError("RLIMIT_NOFILE");
  if (of_tunnels + std::min<std::size_t>(kForOthers, limit.rlim_cur / 2) <= limit.rlim_cur)
    return {};
  return MakeError(Errc::kNoSpace,
                   "cygnetd has no descriptors left for more tunnel interfaces "
                   "(LimitNOFILE of its unit)");
}

}  // namespace

Result<HostTunnel> Runtime::MakeTunnel(const TunnelSpec& spec, uint32_t mtu) const {
  // The service manager keeps some hundred descriptors. Interfaces beyond that should persist.
  constexpr std::size_t kKeptAtMost = 256;
  const std::size_t descriptors = (path_->tunnels.size() + 1) * config_.workers;
  const bool by_client = !spec.made_by.empty();
  if (by_client) CYGNET_RETURN_IF_ERROR(CheckDescriptors(descriptors));
  // Those of clients persist, and are found by their mark. Clients set them up, as the kernel's.
  const bool few = descriptors <= kKeptAtMost && !by_client;
  auto port = TapPort::Create({.name = spec.name,
                               .queues = config_.workers,
                               .mtu = mtu,
                               .largest_mtu = pools_->LargestMtu(),
                               .layer = HostLayer::kIp,
                               .persist = spec.persist,
                               .state = by_client ? HostState::kAsIs : HostState::kUp,
                               .keeper = few ? Keeper() : nullptr});
  if (!port) return In("tunnel " + spec.name, port.error());
  if (spec.persist) CYGNET_RETURN_IF_ERROR((*port)->Keep());
  TapPort* const tap = port->get();
  return HostTunnel{.port = *std::move(port),
                    .ifindex = tap->ifindex(),
                    .set_carrier = [tap](LinkStatus status) { return tap->SetCarrier(status); }};
}

// Before policies and SAs of an earlier process come back, which need them.
Status Runtime::AddTunnels(const Config& config) {
  AllowManyDescriptors();
  for (const TunnelSpec& tunnel : config.tunnels) {
    CYGNET_RETURN_IF_ERROR(control_->AddTunnel(tunnel));
  }
  if (!config.tunnels.empty()) {
    Log(LogLevel::kInfo, std::to_string(config.tunnels.size()) + " tunnel interfaces");
  }
  control_->tunnel_requests().Adopt();
  return {};
}

// Those that nobody keeps. Whether a service manager that has their queues starts the next process
// is not known here: it asks to stop either way. REQUIRES: no worker runs.
void Runtime::RemoveTunnels() {
  if (!stops_ || path_ == nullptr || network_ == nullptr) return;
  std::vector<int32_t> ifindexes;
  path_->tunnels.ForEach([&](const Tunnel* tunnel) {
    // MakeTunnel made it.
    const int32_t ifindex = static_cast<const TapPort*>(tunnel->port.get())->IfindexThatEnds();
    if (ifindex != 0) ifindexes.push_back(ifindex);
  });
  if (const Status gone = network_->DeleteInterfaces(ifindexes); !gone) {
    Log(LogLevel::kInfo, "tunnel interfaces end one by one: " + gone.error().message);
  }
}

}  // namespace cygnet
