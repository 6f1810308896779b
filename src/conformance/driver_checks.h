// The checks of drivers, in groups of one file each. A check gets an open device, and what broke
// the contract on the way is its outcome, too.
#pragma once

#include <algorithm>
#include <vector>

#include "conformance/driver_bench.h"

namespace cygnet::conformance {

// What a check needs of the device; without it the check does not apply.
enum class Need : uint8_t {
  kNothing,
  kWire,      // the host's wire, which shows what leaves
  kSeal,      // and crypto offload outbound
  kOpen,      // or inbound
  kCrypto,    // or of both directions
  kPacket,    // packet offload of both directions, IPv4, tunnels, and the host's wire
  kFaults,    // crypto offload, and faults
  kLoopback,  // the table `loopback`
};
std::string WhyNotApplicable(DriverBench* bench, Need need);

// Wraps a check's own function: opens the device and looks for breaches at the end.
template <Outcome (*check)(DriverBench*), Need need>
Outcome With(const Subject& subject) {
  auto bench = DriverBench::Open(subject);
  if (!bench) return Broken(bench.error().message);
  const std::string why_not = WhyNotApplicable(bench->get(), need);
  if (!why_not.empty()) return NotApplicable(why_not);
  const Outcome outcome = check(bench->get());
  std::string breach = (*bench)->device().breach();
  if (breach.empty()) breach = DriverBench::Witnessed();
  return outcome.verdict == Verdict::kKept && !breach.empty() ? Broken(breach) : outcome;
}

std::span<const Check> DriverTableChecks();   // SAs, handles, keys
std::span<const Check> DriverSealChecks();    // packets out
std::span<const Check> DriverOpenChecks();    // packets in
std::span<const Check> DriverLifeChecks();    // states, ends, threads, loopback
std::span<const Check> DriverWorkerChecks();  // what a worker waits for
std::span<const Check> DriverPacketChecks();  // packet offload

inline bool HasHandle(const std::vector<OffloadHandle>& handles, OffloadHandle handle) {
  return std::find(handles.begin(), handles.end(), handle) != handles.end();
}

}  // namespace cygnet::conformance
