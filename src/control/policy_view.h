// An installed policy as clients see it.
#pragma once

#include "policy/policy_state.h"
#include "requests/xfrm_control.h"

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
