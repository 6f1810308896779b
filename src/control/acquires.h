// Acquires: asks key management for an SA that traffic needs and that does not exist (kernel:
// xfrm_state_find and km_query), once per tuple until it is answered. Control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "control/acquire_budget.h"
#include "control/announcer.h"
#include "control/host_network.h"
#include "control/larval_sas.h"
#include "control/own_devices.h"
#include "datapath/data_path.h"
#include "requests/xfrm_control.h"
#include "sa/sad.h"

namespace cygnet {

class Acquires {
 public:
  struct Parts {
    DataPath* path = nullptr;
    const Announcer* announcer = nullptr;
    const OwnDevices* own_devices = nullptr;
    LarvalSas* larval = nullptr;
    AcquireBudget* budget = nullptr;
    RouteLookup route{};  // empty: the local end of a tunnel stays open
    std::function<uint32_t()> larval_seconds{};
  };
  explicit Acquires(Parts parts) : parts_(std::move(parts)) {}

  // A packet had no SA.
  void OnTraffic(const DataPathEvent& event);
  // A client asks on its own. Makes no larval state (kernel: xfrm_add_acquire).
  void Request(AcquireRequest request);

 private:
  bool AskForSas(const Policy& policy, const DataPathEvent& event);
  void AskForSa(const Policy& policy, std::size_t template_index, const Sad::OutboundQuery& query,
                const DataPathEvent& event);
  int32_t IfindexOf(const DataPathEvent& event) const;
  // The address that the host would send from; any if unknown.
  IpAddress LocalEndTo(const IpAddress& daddr, IpFamily family) const;

  const Parts parts_;
  uint32_t sequence_ = 0;  // of the last ACQUIRE
};

}  // namespace cygnet
