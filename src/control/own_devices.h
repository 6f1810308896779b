// OwnDevices: which interfaces of the host lead to Cygnet's: its own, and bridges, bonds and VLANs
// over them. Routes and clients that name one of those mean the interface below. Control thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "control/daemon_report.h"
#include "control/host_links.h"
#include "net/selector.h"
#include "policy/spd.h"

namespace cygnet {

class OwnDevices {
 public:
  // `ifindexes`: of the devices, in their order. `links` nullptr: upper devices stay unknown.
  OwnDevices(std::vector<int32_t> ifindexes, HostLinks* links, const Clock* clock)
      : ifindexes_(std::move(ifindexes)), links_(links), clock_(*clock) {}

  // The number of the device that `ifindex` leads to; nullopt: none of Cygnet's.
  std::optional<std::size_t> NumberOf(int32_t ifindex) const;
  // The ifindex of the device that `ifindex` is stacked on; 0: none. Queries the kernel at most
  // once a second, because a rekey of all SAs asks for each.
  int32_t Under(int32_t ifindex) const;
  // REQUIRES: number < count of devices.
  int32_t ifindex(std::size_t number) const { return ifindexes_[number]; }
  // Traffic of another interface never reaches Cygnet, so such a selector would not be enforced.
  Status RefuseForeignInterface(const Selector& selector) const;
  // For `cygnet doctor`: routes of the host that go past Cygnet. Empty if links are unknown.
  std::vector<DoctorRow> CheckHostRoutes(const Spd& spd) const;

 private:
  std::optional<std::size_t> Exactly(int32_t ifindex) const;

  const std::vector<int32_t> ifindexes_;
  HostLinks* const links_;
  const Clock& clock_;
  mutable std::map<int32_t, int32_t> under_;  // upper interface → device below
  mutable std::optional<uint64_t> read_at_ns_;
};

}  // namespace cygnet
