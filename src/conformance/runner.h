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

// `seconds`: the longest that one check may take.
Outcome RunInChild(const Check& check, const Subject& subject, unsigned seconds);
std::vector<Result> RunAll(std::span<const Check> checks, const Subject& subject, unsigned seconds);

}  // namespace cygnet::conformance
