// OwnDevices: which interfaces of the host lead to Cygnet's: its own, and bridges, bonds and VLANs
// over them. Routes and clients that name one of those mean the interface below. Control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "control/host_links.h"
#include "net/selector.h"

namespace cygnet {

class OwnDevices {
 public:
  // `ifindexes`: of the devices, in their order. `links`: all interfaces of the host; empty: upper
  // devices stay unknown.
  OwnDevices(std::vector<int32_t> ifindexes, std::function<std::vector<HostLink>()> links,
             const Clock* clock)
      : ifindexes_(std::move(ifindexes)), links_(std::move(links)), clock_(*clock) {}

  // The number of the device that `ifindex` leads to; nullopt: none of Cygnet's.
  std::optional<std::size_t> NumberOf(int32_t ifindex) const;
  // The ifindex of the device that `ifindex` is stacked on; 0: none. Queries the kernel at most
  // once a second, because a rekey of all SAs asks for each.
  int32_t Under(int32_t ifindex) const;
  // REQUIRES: number < count of devices.
  int32_t ifindex(std::size_t number) const { return ifindexes_[number]; }
  const std::vector<int32_t>& ifindexes() const { return ifindexes_; }
  // Traffic of another interface never reaches Cygnet, so such a selector would not be enforced.
  Status RefuseForeignInterface(const Selector& selector) const;

 private:
  std::optional<std::size_t> Exactly(int32_t ifindex) const;

  const std::vector<int32_t> ifindexes_;
  const std::function<std::vector<HostLink>()> links_;
  const Clock& clock_;
  mutable std::map<int32_t, int32_t> under_;  // upper interface → device below
  mutable std::optional<uint64_t> read_at_ns_;
};

}  // namespace cygnet
