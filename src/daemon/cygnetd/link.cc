#include "daemon/cygnetd/link.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"
#include "daemon/cygnetd/check.h"
#include "daemon/cygnetd/settings.h"

namespace cygnet {
namespace {

// ethtool's names, each preceded by a blank.
std::string FeatureNames(const OffloadCaps& caps) {
  const bool offers = OffersOffload(caps);
  std::string names = offers ? " esp-hw-offload" : "";
  if (offers && caps.inner_checksum) names += " esp-tx-csum-hw-offload";
  if (offers && caps.segmentation) names += " tx-esp-segmentation";
  if (!caps.driver.empty()) names += " driver=" + std::string(caps.driver);
  return names;
}

void LogLink(const Link& link) {
  const OffloadDevice* offload = link.wire.offload;
  const std::string can =
      offload == nullptr
          ? "the device cannot offload"
          : fmt::format("offload {}, {} SA slots{}", Name(link.config.offload),
                        offload->offload_stats().slots_limit,
                        offload->identity().simulated ? ", SIMULATED by this host's CPU" : "");
  Log(LogLevel::kInfo, fmt::format("device {}: driver {}, wire {}, {}", link.config.name,
                                   link.config.driver, link.config.wire, can));
}

}  // namespace

Result<std::unique_ptr<Link>> LinkBuilder::Make(const DeviceConfig& config) const {
  auto link = std::make_unique<Link>();
  link->config = config;
  CYGNET_RETURN_IF_ERROR(OpenWire(link.get()));
  CYGNET_RETURN_IF_ERROR(OpenHost(link.get()));
  path->interfaces.push_back(
      {.host = link->host.get(),
       .wire = link->wire.port.get(),
       .offload = link->wire.offload,
       .ifindex = link->host->ifindex(),
       .guard = link->guard.get(),
       .capture = &link->capture,
       .shadow = link->wire.offload != nullptr ? link->shadow.get() : nullptr,
       .whole = link->wire.port->TakesSuperPackets()});
  LogLink(*link);
  return link;
}

Status LinkBuilder::OpenWire(Link* link) const {
  const DeviceConfig& config = link->config;
  const auto index = static_cast<uint8_t>(path->interfaces.size());
  link->capture.inner.CountReadersIn(&path->inner_readers);
  link->guard = std::make_unique<WireSealGuard>(path, index, workers, &link->capture.guard);
  // Each wire has a queue of its own at the engines' sessions.
  if (index < kMaxCryptoQueues) {
    link->shadow = std::make_unique<DeviceShadow>(&path->control_bell);
    link->guard->SetShadow(link->shadow.get(), *engines);
  }
  auto wire = OpenDevice(*FindDriver(config.driver), {.name = config.name,
                                                      .wire = config.wire,
                                                      .queues = workers,
                                                      .pools = pools,
                                                      .capture = &link->capture,
                                                      .guard = link->guard.get(),
                                                      .keeper = keeper,
                                                      .options = config.options});
  if (!wire) return In("device " + config.name, wire.error());
  link->wire = *std::move(wire);
  link->wire.port->PauseReceiving();  // until there are workers
  return CheckOffers(config, link->wire.offload);
}

Status LinkBuilder::OpenHost(Link* link) const {
  const DeviceConfig& config = link->config;
  auto host = TapPort::Create({.name = config.name,
                               .queues = workers,
                               .mtu = config.mtu != 0 ? config.mtu : link->wire.port->mtu(),
                               .largest_mtu = pools->LargestMtu(),
                               .mac = link->wire.port->mac(),
                               .persist = config.persist,
                               .keeper = keeper});
  if (!host) return In("device " + config.name, host.error());
  link->host = *std::move(host);
  return {};
}

Status MarkHostInterface(const Link& link, const OffloadCaps* offered, HostNetwork* network) {
  const int ifindex = link.host->ifindex();
  if (offered != nullptr && link.config.offload != PlacementMode::kNo) {
    return network->SetAlias(ifindex, "cygnet" + FeatureNames(*offered));
  }
  // An interface that outlived a daemon may have the alias of an earlier configuration. An empty
  // alias removes it.
  return link.config.persist ? network->SetAlias(ifindex, std::string(1, '\0')) : Status{};
}

}  // namespace cygnet
