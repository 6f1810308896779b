// DataPathEvents: handles what workers report: missing SAs, limits, mappings, ICMP errors. Each
// turn of the loop takes a bounded part, so that clients are answered in between, whatever comes
// from the wire and the host's users. Control thread.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "control/acquires.h"
#include "control/nat_events.h"
#include "control/next_hops.h"
#include "control/sas.h"
#include "datapath/data_path.h"

namespace cygnet {

class DataPathEvents {
 public:
  struct Parts {
    DataPath* path = nullptr;
    const Clock* clock = nullptr;
    Sas* sas = nullptr;
    Acquires* acquires = nullptr;
    NatMappings* mappings = nullptr;
    NextHops* next_hops = nullptr;  // nullptr: there is no host network
  };
  explicit DataPathEvents(const Parts& parts) : parts_(parts), path_(*parts.path) {}

  // Takes one turn's part of the events of every worker.
  void TakeSome();
  // An event of a worker, or of a device that does its work (packet offload).
  void Handle(const DataPathEvent& event);
  // More are queued.
  bool left() const { return left_; }

 private:
  bool TakeFrom(SpscRing<DataPathEvent>* ring, int* acquires);
  void OnShortQuote(const DataPathEvent& event);

  const Parts parts_;
  DataPath& path_;
  bool left_ = false;
  std::size_t first_worker_ = 0;
  uint64_t next_short_quote_ns_ = 0;
};

}  // namespace cygnet
