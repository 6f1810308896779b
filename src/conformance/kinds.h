// The kinds of plug-ins that can be tested: one row for each.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "conformance/check.h"

namespace cygnet::conformance {

// What a plug-in says about itself.
struct About {
  std::string name;
  std::string version;
  std::string vendor;
};

struct Kind {
  std::string_view name;  // "driver": option --driver
  std::span<const Check> (*checks)();
  // Loads and opens it; the error says why that is not possible. Called in a child.
  ::cygnet::Result<About> (*look)(const Subject& subject);
  // Rates; called in a child. nullptr: none.
  std::vector<Measurement> (*measure)(const Subject& subject);
};

std::span<const Kind> Kinds();

std::span<const Check> DriverChecks();
::cygnet::Result<About> LookAtDriver(const Subject& subject);
std::vector<Measurement> MeasureDriver(const Subject& subject);

std::span<const Check> EngineChecks();
::cygnet::Result<About> LookAtEngine(const Subject& subject);
std::vector<Measurement> MeasureEngine(const Subject& subject);

}  // namespace cygnet::conformance
