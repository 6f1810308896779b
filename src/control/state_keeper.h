// StateKeeper: keeps what the next process needs to continue with the SAs of this one. RestoredSa
// is what it gives back. Control thread.
#pragma once

#include <cstdint>

#include "sa/sa.h"

namespace cygnet {

class StateKeeper {
 public:
  virtual ~StateKeeper() = default;
  // Before packets find the SA; also of a larval one.
  virtual void Keep(const ConstSaPtr& sa) = 0;
  // A client has changed the SA.
  virtual void Update(const Sa& sa) = 0;
  // It ends, or gave its numbers to another one. Its keys are wiped here.
  virtual void Forget(const Sa& sa) = 0;
};

// An SA of the process before.
struct RestoredSa {
  SaSpec spec;  // with usage and thresholds; `replay`: where the numbers continue
  uint64_t iv_mask = 0;
  // Inbound numbers up to here may have been accepted. 0: the window in `spec` is exact.
  uint64_t accepted_to = 0;
  uint64_t last_used = 0;
  SaState state = SaState::kValid;  // kLarval: it has no keys
  bool soft_time_signalled = false;
};

}  // namespace cygnet
