#include "conformance/kinds.h"

namespace cygnet::conformance {

std::span<const Kind> Kinds() {
  static constexpr Kind kKinds[] = {
      {"driver", DriverChecks, LookAtDriver, MeasureDriver},
      {"engine", EngineChecks, LookAtEngine, MeasureEngine},
  };
  return kKinds;
}

}  // namespace cygnet::conformance
