// What keeps the host's own stack off a device's wire, as the operator is shown it.
#pragma once

#include <cstdint>
#include <string>

namespace cygnet {

struct FenceStatus {
  // "in-force"; "broken": it could not be put back, the wire's link is down instead; "none": the
  // configuration has none.
  std::string state = "none";
  bool owned = false;     // nobody else can take its tables away while this daemon runs
  bool by_tc = false;     // the second means is there as well
  uint64_t restored = 0;  // times that somebody had taken it away and it was put back
  std::string explanation{};
};

}  // namespace cygnet
