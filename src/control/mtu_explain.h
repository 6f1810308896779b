// MtuExplain: answers "how large may a packet to DST be" from the policy and the SAs that the data
// path would use, and the bytes of each. Read-only. Control thread.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "control/announcer.h"
#include "control/host_way.h"
#include "control/mtu_report.h"
#include "control/own_devices.h"
#include "control/placement/devices.h"
#include "control/tunnel_control.h"
#include "datapath/data_path.h"

namespace cygnet {

class MtuExplain {
 public:
  struct Sources {
    const DataPath& path;
    const Clock& clock;
    const Announcer& announcer;
    const OwnDevices& own_devices;
    const TunnelControl& tunnels;
    const PlacementDevices& devices;
    // Without `route`, every packet leaves by the first device.
    HostQuestions host{};
  };
  explicit MtuExplain(Sources sources) : from_(std::move(sources)) {}

  Result<MtuReport> Explain(const MtuQuery& query) const;

  // Where a packet goes before policy is asked. `report` has the flow, the device and the tunnel.
  struct Way {
    MtuReport report;
    const ControlDevice* device = nullptr;  // nullptr: none of ours; report.explanation says why
    int32_t ifindex = 0;                    // by which the host sends it; 0: it does not
    HostWay host{};                         // of an unknown host, as made
  };
  Result<Way> FindWay(const MtuQuery& query) const;
  // Adds what the SAs leave of the device's MTU. `chain`: innermost first, not empty.
  void AddSizes(std::span<const OutboundSa* const> chain, MtuReport* report) const;
  // The size of the flow's packets if `mtu` is left for them.
  static void SetInnerMtu(uint32_t mtu, MtuReport* report);

 private:
  Result<HostWay> AskHost(const MtuQuery& query) const;
  bool LeadToOne(int32_t ifindex, int32_t other) const;
  void Stop(Way* way) const;
  const ControlDevice* DeviceAt(int32_t ifindex, MtuReport* report) const;
  const ControlDevice* EnterTunnel(int32_t ifindex, MtuReport* report) const;
  MtuReport ExplainOn(const MtuQuery& query, const ControlDevice& device, MtuReport report) const;
  MtuReport ExplainTemplates(const PolicyMatch& match, const FlowKey& flow, int32_t ifindex,
                             MtuReport report) const;

  const Sources from_;
};

}  // namespace cygnet
