// The part of BindHalf that hands the key of a half to engines.
#pragma once

#include <memory>

#include "crypto/engine_set.h"
#include "datapath/bind_half.h"
#include "datapath/sa_binding.h"

namespace cygnet {

// One half of an SA and where it may go.
struct HalfToBind {
  const SaSpec& spec;
  Half half;
  const BindInputs& inputs;
};

// A session on the first engine of this kind that may have the key. `now`: the half's present one;
// it is returned if it is on the right engine. The observer of keys is notified before an engine
// gets the key, and again after the key schedule is gone.
Result<EngineSession> SessionOn(EngineKind kind, const SessionParams& params, const HalfToBind& it,
                                const EngineSession* now);

// What the CPU needs to verify the packets of the device that has the half. The present shadow is
// returned if it still is right.
Result<std::shared_ptr<ShadowSession>> ShadowOf(OffloadMode mode, const HalfToBind& it);

}  // namespace cygnet
