// The checks of engines, in groups of one file each. A check gets an open engine, and what broke
// the contract on the way is its outcome, too.
#pragma once

#include "base/result.h"
#include "conformance/engine_bench.h"

namespace cygnet::conformance {

// Wraps a check's own function.
template <Outcome (*check)(EngineBench*)>
Outcome WithEngine(const Subject& subject) {
  auto bench = EngineBench::Open(subject);
  if (!bench) return Broken(bench.error().message);
  if ((*bench)->suites().empty()) return Broken("it makes no session of any algorithm");
  const Outcome outcome = check(bench->get());
  const std::string breach = (*bench)->breach();
  return outcome.verdict == Verdict::kKept && !breach.empty() ? Broken(breach) : outcome;
}

std::span<const Check> EngineJobChecks();      // what becomes of the bytes
std::span<const Check> EngineLifeChecks();     // sessions, queues, order, threads
std::span<const Check> EnginePromiseChecks();  // limits, keys, time

}  // namespace cygnet::conformance
