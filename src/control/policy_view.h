// What clients are shown of an installed policy.
#pragma once

#include "control/xfrm_control.h"
#include "policy/policy_state.h"

namespace cygnet {

inline PolicyView ViewOf(const Policy& policy) {
  return {.spec = policy.spec,
          .usage = {.bytes = 0,
                    .packets = 0,
                    .add_time = policy.add_time,
                    .use_time = policy.use_time.load(std::memory_order_relaxed)},
          .place = policy.place};
}

}  // namespace cygnet
