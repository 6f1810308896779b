// The control plane's tasks for SAs with UDP encapsulation: reports of a changed mapping, and
// keep-alives. Control thread.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "base/clock.h"
#include "control/announcer.h"
#include "control/nat.h"
#include "datapath/data_path.h"
#include "net/flow_key.h"
#include "packet/packet_pool.h"
#include "sa/sa.h"

namespace cygnet {

// Reports that the peer of an SA appeared at another address or port.
class NatMappings {
 public:
  NatMappings(const Announcer* announcer, const Clock* clock)
      : announcer_(*announcer), clock_(*clock) {}

  // `outer`: of the received packet. REQUIRES: the SA is not larval.
  void OnMapping(const SaPtr& sa, const FlowKey& outer);
  void Forget(uint64_t sa_number) { limiters_.erase(sa_number); }

 private:
  const Announcer& announcer_;
  const Clock& clock_;
  std::unordered_map<uint64_t, MappingLimiter> limiters_;  // of SAs that had an event
};

// Keep-alives of SAs that send nothing (kernel: nat_keepalive_work_single). The wall clock says
// when an SA was used; as it may be set back, how long that is ago is counted by the monotonic one.
class NatKeepalives {
 public:
  // `pools` nullptr: none are sent.
  NatKeepalives(DataPath* path, PacketPools* pools, const Clock* clock);

  // Sends one if the SA has sent nothing for its interval.
  void Check(const Sa& sa);
  void Forget(uint64_t sa_number) { rows_.erase(sa_number); }

 private:
  struct Row {
    uint64_t last_used = 0;  // Lifetime::last_used
    uint64_t checked = 0;    // monotonic seconds
    uint64_t quiet = 0;      // seconds without traffic or keep-alive
  };
  Row* CountQuiet(const Sa& sa);
  bool Send(const Sa& sa);

  DataPath& path_;
  const Clock& clock_;
  std::optional<PacketCache> packets_;
  std::unordered_map<uint64_t, Row> rows_;  // by the SA's number
};

}  // namespace cygnet
