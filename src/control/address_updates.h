// AddressUpdates: tells the data path what this host receives itself: the addresses of its
// interfaces, and what its routes of type local, broadcast and anycast name. An event changes the
// one that it names, at once; the kernel's whole lists are read only if events were lost or a route
// may have gone, and at a limited rate. A flood of router advertisements changes nothing, and the
// workers' flow caches stay valid.
// Control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "base/clock.h"
#include "control/host_network.h"
#include "datapath/data_path.h"

namespace cygnet {

class AddressUpdates {
 public:
  struct Host {
    // All present ones; nullopt: the kernel did not tell, ask again.
    std::function<std::optional<std::vector<HostAddress>>()> read;
    // The same of HostNetwork::LocalDestinations; empty: there are none.
    std::function<std::optional<std::vector<AddressPrefix>>()> read_local{};
    // Passes the events that already wait to Apply and OnLost, one turn's share; empty: there are
    // none.
    std::function<void()> take_events{};
  };

  AddressUpdates(DataPath* path, const Clock* clock, Host host)
      : path_(*path), clock_(*clock), host_(std::move(host)) {}

  // `changes`: in the order of the kernel's events.
  void Apply(std::span<const AddressChange> changes);
  // The host receives these, too.
  void AddLocal(std::span<const AddressPrefix> networks);
  // Events were lost, or none were heard yet, or the kernel may have removed routes: it does not
  // name each when an interface goes down.
  void OnLost() { lost_ = true; }
  // For a request that depends on them: a client has set the address before it.
  void CatchUp();
  // Reads the list if events were lost, but not soon after the last reading.
  void ReadIfDue();

 private:
  struct Before {
    bool operator()(const HostAddress& a, const HostAddress& b) const;
    bool operator()(const AddressPrefix& a, const AddressPrefix& b) const;
  };
  void Read();
  void Publish();

  DataPath& path_;
  const Clock& clock_;
  const Host host_;
  std::set<HostAddress, Before> present_;  // by the address first
  std::set<AddressPrefix, Before> local_;
  bool lost_ = false;
  uint64_t next_at_ns_ = 0;
};

}  // namespace cygnet
