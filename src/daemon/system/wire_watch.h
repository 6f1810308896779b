// WireWatch: follows the wires while the daemon runs. The port is told of every change of its
// interface, the host's interface gets the wire's carrier, MTU and MAC address, and a wire that
// went and came back by the same name is taken again, shut first.
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
  bool own_mtu = false;  // of the host's interface: the operator has set it
};

// Control thread.
class WireWatch {
 public:
  struct Hooks {
    // Keeps the host's stack away from the interface that has the wire's name now. An error: it
    // cannot be, and the wire is not taken.
    std::function<Status(const WatchedWire& wire)> shut;
    // For records: device, link state, a sentence.
    std::function<void(const std::string&, const std::string&, const std::string&)> tell;
    // Something changed that workers may have kept, or sleep over.
    std::function<void()> changed;
  };
  explicit WireWatch(Hooks hooks) : hooks_(std::move(hooks)) {}

  // REQUIRES: the wire was taken; port and host stay as long as this.
  void Add(WatchedWire wire);
  // After events, and once a second whatever happens: what could not be taken is tried again.
  void Look(const LinkChanges& changes);
  std::vector<DoctorRow> DoctorRows() const;

 private:
  struct Row {
    WatchedWire wire;
    PortLink link{};        // as the port was told
    int ifindex = 0;        // of the interface that is taken; 0: none is
    std::string barred{};   // why the one that is there is not
    std::string trouble{};  // what could not be set on the host's interface
  };

  void Look(Row* row, const LinkChanges& changes);
  Status Take(const Row& row);
  void Bar(Row* row, const std::string& why);
  void Show(Row* row, const PortLink& link);
  void FollowOnHost(Row* row, const PortLink& link);
  std::string TextOf(const Row& row) const;

  const Hooks hooks_;
  std::vector<Row> rows_;
};

}  // namespace cygnet
