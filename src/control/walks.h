// Walks: the checks that all SAs and policies need from time to time: lifetimes, aevents, NAT
// keep-alives. Each turn of the loop does a bounded part, so that clients are answered in between,
// whatever the number of SAs. Control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "control/aevents.h"
#include "control/nat_events.h"
#include "control/policies.h"
#include "control/sas.h"
#include "datapath/data_path.h"

namespace cygnet {

class Walks {
 public:
  struct Parts {
    DataPath* path = nullptr;
    const Clock* clock = nullptr;
    Sas* sas = nullptr;
    Policies* policies = nullptr;
    Aevents* aevents = nullptr;
    NatKeepalives* keepalives = nullptr;
  };
  explicit Walks(const Parts& parts) : parts_(parts), path_(*parts.path) {}

  // Start a walk. An unfinished one continues instead.
  void StartTimes();
  void StartAevents();
  // Does one turn's part of each. True: more is left.
  bool DoSome();

 private:
  class Turn;
  void WalkTimes(Turn turn);
  void WalkAevents(Turn turn);
  void WalkPolicies(Turn turn);

  const Parts parts_;
  DataPath& path_;
  // The next SA of each walk, by its number; nullopt: no walk is running.
  std::optional<uint64_t> times_from_;
  std::optional<uint64_t> aevents_from_;
  std::vector<std::shared_ptr<Policy>> policies_to_check_;
};

}  // namespace cygnet
