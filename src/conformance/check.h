// Check: one promise of a contract of include/cygnet, and how to see whether a plug-in keeps it.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/isolation/isolation.h"

namespace cygnet::conformance {

enum class Verdict : uint8_t { kKept, kBroken, kNotApplicable };
std::string_view Name(Verdict verdict);  // "kept", "broken", "not-applicable"

struct Outcome {
  Verdict verdict = Verdict::kKept;
  std::string detail = {};  // kBroken: what happened; kNotApplicable: why
};

inline Outcome Kept() { return {}; }
inline Outcome Broken(std::string what) { return {Verdict::kBroken, std::move(what)}; }
inline Outcome NotApplicable(std::string why) { return {Verdict::kNotApplicable, std::move(why)}; }

// Why the process of an isolated plug-in has ended, in a check; empty: it has not.
std::string IsolationFailure();
// Called in a check before the plug-in is loaded.
void WatchIsolation();

// What the checks run against.
struct Subject {
  std::string path;
  std::vector<std::string> options;  // "key=value" for the plug-in's open
  // nullopt: in the process of the check; else in a child of it, as with `isolate = true`.
  std::optional<IsolationSettings> isolation;
  const IsolationSettings* isolated() const { return isolation ? &*isolation : nullptr; }
};

struct Check {
  std::string_view name;     // stable: "seal-vectors"
  std::string_view promise;  // a sentence
  // Loads the plug-in itself: each check runs in a process of its own.
  Outcome (*run)(const Subject& subject);
};

// A rate beside the checks: not a promise.
struct Measurement {
  std::string name;  // "seal-64"
  std::string unit;  // "packets/s"
  double value = 0;
};

// Returns from the calling check if `condition` is false.
#define CONFORMANCE_REQUIRE(condition, what)                      \
  do {                                                            \
    if (!(condition)) return ::cygnet::conformance::Broken(what); \
  } while (false)

}  // namespace cygnet::conformance
