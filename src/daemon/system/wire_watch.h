// WireWatch: follows the wires while the daemon runs. It notifies the port of every change of its
// interface, copies the wire's carrier, MTU and MAC address to the host-side interface, and shuts
// and reopens a wire that went and came back under the same name.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/daemon_report.h"
#include "control/link_events.h"
#include "device/host/tap.h"
#include "device/port.h"

namespace cygnet {

struct WatchedWire {
  std::string device;
  std::string wire;
  Port* port = nullptr;
  TapPort* host = nullptr;
  bool own_mtu = false;  // the operator has set the MTU of the host-side interface
};

// Control thread.
class WireWatch {
 public:
  struct Hooks {
    // Keeps the host's stack away from the interface that has the wire's name now. On an error the
    // wire is not opened.
    std::function<Status(const WatchedWire& wire)> shut;
    // Records a change: device, link state, a sentence.
    std::function<void(const std::string&, const std::string&, const std::string&)> tell;
    // Called after a change that workers may have cached or must wake up for.
    std::function<void()> changed;
  };
  explicit WireWatch(Hooks hooks) : hooks_(std::move(hooks)) {}

  // REQUIRES: the wire is open; its port and host outlive this.
  void Add(WatchedWire wire);
  // Call it after events, and at least once a second: it retries wires that could not be opened.
  void Look(const LinkChanges& changes);
  std::vector<DoctorRow> DoctorRows() const;

 private:
  struct Row {
    WatchedWire wire;
    PortLink link{};        // as last reported to the port
    int ifindex = 0;        // of the open interface; 0: none
    std::string barred{};   // why the existing interface is not used
    std::string trouble{};  // what could not be set on the host-side interface
    HostPresence presence = HostPresence::kPresent;  // of that interface, as last told
  };

  void Look(Row* row, const LinkChanges& changes);
  Status Take(const Row& row);
  void Bar(Row* row, const std::string& why);
  void Show(Row* row, const PortLink& link);
  void FollowOnHost(Row* row, const PortLink& link);
  void LookAtHost(Row* row) const;
  static std::string WhyNarrower(const Row& row, const PortLink& link);
  std::string TextOf(const Row& row) const;

  const Hooks hooks_;
  std::vector<Row> rows_;
};

}  // namespace cygnet
