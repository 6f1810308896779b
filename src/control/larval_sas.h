// LarvalSas: SAs without keys, which ALLOCSPI and ACQUIRE create and key management fills in.
// ALLOCSPI as a Linux kernel answers it. Control thread.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "control/acquire_budget.h"
#include "control/state_keeper.h"
#include "datapath/data_path.h"
#include "requests/xfrm_control.h"
#include "sa/sa.h"

namespace cygnet {

class LarvalSas {
 public:
  // `keeper` nullptr: no SA outlives the process.
  LarvalSas(DataPath* path, const Clock* clock, AcquireBudget* budget,
            StateKeeper* keeper = nullptr)
      : path_(*path), clock_(*clock), budget_(*budget), keeper_(keeper) {}

  Result<ConstSaPtr> AllocateSpi(SpiRequest request);
  // An SPI that the process before has given out. REQUIRES: it has an SPI and its usage.
  void Restore(SaSpec spec);
  // The state of an ACQUIRE that traffic under this policy caused.
  void InsertForAcquire(SaSpec spec, uint64_t policy_number);
  // Key management is already busy with such an SA.
  bool AcquireInProgress(const SaSpec& wanted) const;
  // An SA of this spec answers the state of an ACQUIRE, which is removed without an event.
  void RemoveAnswered(const SaSpec& spec);
  // REQUIRES: it is larval. No flow used it, so flow caches stay valid.
  void Remove(const SaPtr& sa);

 private:
  SaPtr Find(const SaSpec& spec) const;
  SaPtr Insert(SaSpec spec, uint64_t since);
  std::optional<Spi> ChooseSpi(const SpiRequest& request) const;

  DataPath& path_;
  const Clock& clock_;
  AcquireBudget& budget_;
  StateKeeper* const keeper_;
};

}  // namespace cygnet
