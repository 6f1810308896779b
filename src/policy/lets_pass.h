// Whether packets that match a policy may leave in clear.
#pragma once

#include <algorithm>

#include "policy/policy.h"

namespace cygnet {

inline bool LetsPassInClear(const PolicySpec& policy) {
  return !policy.unmet && policy.action == PolicyAction::kAllow &&
         std::all_of(policy.templates.begin(), policy.templates.end(),
                     [](const Template& tmpl) { return tmpl.optional; });
}

}  // namespace cygnet
