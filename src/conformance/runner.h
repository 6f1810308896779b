// Runs checks, each in a child process: a plug-in that crashes or hangs breaks the promise of the
// check that it runs in, and nothing else.
#pragma once

#include <vector>

#include "conformance/check.h"

namespace cygnet::conformance {

struct Result {
  const Check* check;
  Outcome outcome;
};

// `seconds`: the longest that a check may take.
Outcome RunInChild(const Check& check, const Subject& subject, unsigned seconds);
std::vector<Result> RunAll(std::span<const Check> checks, const Subject& subject);

// What a child makes, as text; empty: it died. For what must not be loaded into this process.
std::string TextOfChild(const std::function<std::string()>& make, unsigned seconds);

}  // namespace cygnet::conformance
