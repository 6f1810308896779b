// An installed policy as clients see it.
#pragma once

#include "policy/policy_state.h"
#include "requests/xfrm_control.h"

namespace cygnet {

inline PolicyView ViewOf(const Policy& policy) {
  return {.spec = policy.spec, .usage = UsageOf(policy), .place = policy.place};
}

}  // namespace cygnet
