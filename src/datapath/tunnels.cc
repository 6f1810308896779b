#include "datapath/tunnels.h"

#include <sys/epoll.h>

#include "base/errno_error.h"

namespace cygnet {

Tunnels::Tunnels(uint32_t workers, Quiescence* quiescence) : quiescence_(quiescence) {
  for (uint32_t i = 0; i < workers; ++i) epolls_.emplace_back(epoll_create1(EPOLL_CLOEXEC));
}

// An interface that was removed would be ready for ever.
std::size_t Tunnels::Ready(uint32_t worker, std::span<Tunnel*, kReadyAtOnce> out) const {
  std::array<epoll_event, kReadyAtOnce> events;
  const int n = epoll_wait(epolls_[worker].get(), events.data(), kReadyAtOnce, 0);
  std::size_t found = 0;
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    Tunnel* tunnel = at(static_cast<uint16_t>(event.data.u64));
    if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) {
      (void)epoll_ctl(epolls_[worker].get(), EPOLL_CTL_DEL, static_cast<int>(event.data.u64 >> 16),
                      nullptr);
    }
    if (tunnel != nullptr) out[found++] = tunnel;
  }
  return found;
}

// The numbers go round, so that a packet that waits for its SA never finds another tunnel.
Result<uint16_t> Tunnels::ChooseNumber() {
  for (uint16_t tries = 0; tries < kMax; ++tries) {
    last_number_ = static_cast<uint16_t>(last_number_ + 1 < kMax ? last_number_ + 1 : 1);
    if (slots_[last_number_].load(std::memory_order_relaxed) == nullptr) return last_number_;
  }
  return MakeError(Errc::kNoMemory, "there are " + std::to_string(kMax - 1) +
                                        " tunnel interfaces already: remove one first");
}

Status Tunnels::Watch(const Tunnel& tunnel) const {
  for (uint32_t worker = 0; worker < epolls_.size(); ++worker) {
    const int fd = tunnel.port->wait_fd(worker);
    if (fd < 0) continue;  // nothing to wait for
    epoll_event event{.events = EPOLLIN, .data = {}};
    event.data.u64 = static_cast<uint64_t>(fd) << 16 | tunnel.number;
    if (epoll_ctl(epolls_[worker].get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return ErrnoError("wait for packets of " + std::string(tunnel.port->name()));
    }
  }
  return {};
}

Result<Tunnel*> Tunnels::Add(const TunnelIdentity& identity, std::unique_ptr<Port> port,
                             int32_t ifindex) {
  const auto number = ChooseNumber();
  if (!number) return number.error();
  auto tunnel = std::make_unique<Tunnel>();
  tunnel->number = *number;
  tunnel->identity = identity;
  tunnel->port = std::move(port);
  tunnel->ifindex = ifindex;
  slots_[*number].store(tunnel.get(), std::memory_order_release);
  count_.fetch_add(1, std::memory_order_relaxed);
  Tunnel* const added = tunnel.release();
  if (const Status watched = Watch(*added); !watched) {
    Remove(*number);
    return watched.error();
  }
  return added;
}

void Tunnels::Remove(uint16_t number) {
  Tunnel* const tunnel = slots_[number].exchange(nullptr, std::memory_order_acq_rel);
  if (tunnel == nullptr) return;
  count_.fetch_sub(1, std::memory_order_relaxed);
  for (uint32_t worker = 0; worker < epolls_.size(); ++worker) {
    const int fd = tunnel->port->wait_fd(worker);
    if (fd >= 0) (void)epoll_ctl(epolls_[worker].get(), EPOLL_CTL_DEL, fd, nullptr);
  }
  quiescence_->Retire([tunnel] { delete tunnel; });
}

void Tunnels::Clear() {
  for (auto& slot : slots_) delete slot.exchange(nullptr);
  count_.store(0, std::memory_order_relaxed);
}

}  // namespace cygnet
