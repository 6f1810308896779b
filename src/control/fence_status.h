// The state of a device's wire fence, as the operator sees it.
#pragma once

#include <cstdint>
#include <string>

namespace cygnet {

struct FenceStatus {
  // "in-force"; "broken": it could not be restored, so the wire's link is down; "none": not
  // configured.
  std::string state = "none";
  bool owned = false;     // nobody else can remove its tables while this daemon runs
  bool by_tc = false;     // the tc filters are installed as well
  uint64_t restored = 0;  // times that it was removed by others and restored
  std::string explanation{};
};

}  // namespace cygnet
