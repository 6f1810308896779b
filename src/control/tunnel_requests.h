// TunnelRequests: tunnel interfaces that clients make and delete, as interfaces of kind xfrm. They
// outlive the daemon like those of the kernel, and the kernel is where they are stored: the
// interface is persistent, and its alias (netlink/tunnel_mark.h) has the rest. Control thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "control/host_links.h"
#include "control/host_network.h"
#include "control/link_events.h"
#include "control/own_devices.h"
#include "control/tunnel_control.h"
#include "requests/link_control.h"

namespace cygnet {

class TunnelRequests final : public LinkControl {
 public:
  // Each costs a descriptor for each worker, and time when the daemon ends.
  static constexpr std::size_t kMost = 1000;

  struct Parts {
    TunnelControl* tunnels = nullptr;
    const OwnDevices* own_devices = nullptr;
    std::vector<std::string> devices{};  // by number
    HostNetwork* network = nullptr;      // nullptr: interfaces are not marked (tests)
    HostLinks* links = nullptr;          // nullptr: nothing is adopted
  };
  explicit TunnelRequests(Parts parts) : parts_(std::move(parts)) {}

  // --- LinkControl ---
  Status NewLink(const LinkRequest& request, const std::string& by) override;
  Status DeleteLink(const LinkRequest& request) override;

  // A tunnel of the configuration: marked like the others, so that clients find it.
  Status AddConfigured(const TunnelSpec& spec);
  // Goes on with the interfaces that clients made in the time of an earlier daemon. One that cannot
  // be taken is logged and left to the operator.
  void Adopt();
  // Forgets interfaces that somebody deleted without asking.
  void OnLinkChanges(const LinkChanges& changes);
  // The same, of those in other network namespaces. About once a second.
  void Tick();

 private:
  // The tunnel that the request names; nullptr: none.
  const TunnelSpec* Find(const LinkRequest& request) const;
  Status Create(const LinkRequest& request, const std::string& by);
  Status Change(const LinkRequest& request, const TunnelSpec& spec);
  Result<std::string> ChooseName(const std::string& wanted) const;
  Result<std::string> DeviceFor(uint32_t link) const;
  Status Add(const TunnelSpec& spec);
  Status Mark(const TunnelSpec& spec) const;
  Status Delete(const std::string& name);
  int32_t IfindexOf(const std::string& name) const;

  const Parts parts_;
};

}  // namespace cygnet
