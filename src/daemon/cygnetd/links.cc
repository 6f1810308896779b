// The wires while the daemon serves: followed, and taken again when they come back.
#include <fmt/format.h>
#include <sys/epoll.h>

#include "daemon/cygnetd/runtime.h"

namespace cygnet {

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
  for (const auto& i : interfaces_) {
    if (i->config.IsPcap()) continue;
    watch_->Add({.device = i->config.name,
                 .wire = i->config.wire,
                 .port = i->wire.port.get(),
                 .host = i->host.get(),
                 .own_mtu = i->config.mtu != 0});
  }
  return poller_->Add(link_events_->event_fd(), EPOLLIN, [this](uint32_t) {
    if (const LinkChanges changes = link_events_->Drain(); changes.any) watch_->Look(changes);
  });
}

// Of a wire that came back: the fence of before went with the interface it stood on.
Status Runtime::ShutAgain(const WatchedWire& wire) {
  fence_->Check();
  const FenceStatus* fence = fence_->status(wire.device);
  if (fence != nullptr && fence->state != "in-force") {
    return MakeError(Errc::kBusy, fence->explanation);
  }
  const std::string addresses = WireAddresses(wire.wire);
  if (addresses.empty()) return {};
  return MakeError(Errc::kBusy, fmt::format("it has addresses ({}); the host must use {} in its "
                                            "place: remove them",
                                            addresses, wire.device));
}

}  // namespace cygnet
