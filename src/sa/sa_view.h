// SaView: an SA as a client sees it at one moment: the requested spec and the current state.
#pragma once

#include <cstdint>
#include <optional>

#include "sa/sa.h"
#include "sa/sa_spec.h"

namespace cygnet {

// A snapshot of one SA. `spec` is valid as long as the Sa it points into.
struct SaView {
  const SaSpec* spec = nullptr;
  SaState state = SaState::kLarval;
  LifetimeUsage usage;
  SaStats stats;
  ReplayState replay;                     // live counters, kernel layout
  std::optional<OffloadRequest> offload;  // effective: absent if in software
  uint64_t last_used = 0;                 // wall-clock seconds; 0 = never
};

}  // namespace cygnet
