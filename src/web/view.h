// The view: what the page shows, computed from two successive readings. Texts come from the daemon
// as they are (names of interfaces, of devices …); the page treats them as text.
#pragma once

#include <string>

#include "client/flows.h"

namespace cygnet::web {

struct ViewInput {
  const Readings* readings;
  const Counts* before;  // nullptr: no rates yet
  const Counts* now;
  double seconds;  // between them
  int64_t time_ms;
};

// The most flows, keys and moves in a view; it says how many are left out.
inline constexpr std::size_t kMostFlows = 60;
inline constexpr std::size_t kMostLedgerRows = 250;

Json MakeView(const ViewInput& input);

}  // namespace cygnet::web
