// Marks: what happened at one moment, to be shown on time lines: moves, faults and their ends, hits
// of the seal guard, and starts of the daemon.
#pragma once

#include <string>
#include <vector>

#include "client/readings.h"

namespace cygnet::web {

struct Mark {
  int64_t time_ms = 0;
  std::string kind;     // "move", "fault", "end", "guard", "daemon"
  std::string subject;  // the SA, or the device
  std::string text;

  bool operator==(const Mark&) const = default;
};

Json ToJson(const Mark& mark);

// What is new in `now`. `before` nullptr: nothing was read before; only the faults that are there
// are told.
std::vector<Mark> MarksSince(const Readings* before, const Readings& now, int64_t time_ms);

}  // namespace cygnet::web
