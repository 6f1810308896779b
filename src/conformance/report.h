// The conformance report of a plug-in, for people and as JSON.
#pragma once

#include <string>
#include <vector>

#include "conformance/runner.h"

namespace cygnet::conformance {

struct Report {
  std::string kind;  // "driver", "engine"
  std::string path;
  std::string sha256;  // of the file
  std::string name;    // as the plug-in says
  std::string version;
  std::string vendor;
  std::vector<Result> results = {};
  std::vector<Measurement> measurements = {};
};

uint32_t Count(const Report& report, Verdict verdict);
// All promises that apply are kept, and at least one does.
bool Conforms(const Report& report);
std::string TextOf(const Report& report);
std::string JsonOf(const Report& report);

}  // namespace cygnet::conformance
