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
  ReplayState replay;  // live counters, kernel layout
  // Crypto offload: effective, so that clients see that it fell back to software. Packet offload:
  // as requested, because no policy without it finds the SA, wherever the SA runs.
  std::optional<OffloadRequest> offload;
  uint64_t last_used = 0;  // wall-clock seconds; 0 = never
};

}  // namespace cygnet
