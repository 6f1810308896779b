#include "conformance/driver_checks.h"

#include <chrono>

#include "conformance/kinds.h"

namespace cygnet::conformance {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;

double RateOf(uint64_t count, steady_clock::time_point since) {
  return static_cast<double>(count) / duration<double>(steady_clock::now() - since).count();
}

// Packets of one SA, in bursts of 64, for a fifth of a second.
double SealRate(DriverBench* bench, std::size_t bytes) {
  const EspSample sample = bench->Sample();
  const auto handle = bench->Start(sample.spec(), Half::kOutbound);
  if (!handle.has_value()) return 0;
  const std::vector<DriverBench::Out> burst(kMaxBatch,
                                            DriverBench::ToSeal(sample, *handle, 1, bytes));
  const uint64_t before = bench->wire()->sent();
  const auto begin = steady_clock::now();
  while (steady_clock::now() - begin < std::chrono::milliseconds(200)) bench->Transmit(burst);
  const double rate = RateOf(bench->wire()->sent() - before, begin);
  bench->device().StopSa(*handle);
  bench->device().ReleaseSa(*handle);
  (void)bench->Erased(1);
  return rate;
}

double AddRate(DriverBench* bench) {
  const EspSample sample = bench->Sample();
  std::vector<OffloadHandle> handles;
  const auto begin = steady_clock::now();
  while (handles.size() < 256) {
    const auto handle = bench->Start(sample.spec(), Half::kOutbound);
    if (!handle.has_value()) break;
    handles.push_back(*handle);
  }
  return RateOf(handles.size(), begin);
}

}  // namespace

std::string WhyNotApplicable(DriverBench* bench, Need need) {
  if (need == Need::kNothing) return {};
  if (need == Need::kPacket) {
    const OffloadCaps& caps = bench->device().caps();
    if (!caps.packet_offload) return "it has no packet offload";
    if (bench->wire() == nullptr) return "it sends by itself: nothing shows what leaves";
    const bool all = caps.inbound && caps.outbound && caps.tunnel && caps.ipv4;
    return all ? "" : "it lacks a direction, tunnels or IPv4";
  }
  const bool seals = bench->seals(), opens = bench->opens();
  if (need != Need::kWire && !seals && !opens) return "it has no crypto offload";
  if (need == Need::kLoopback) {
    return bench->device().loopback() == nullptr ? "it has no table \"loopback\"" : "";
  }
  if (bench->wire() == nullptr) return "it sends by itself: nothing shows what leaves";
  if (need == Need::kWire) return {};
  if (!seals && need != Need::kOpen) return "it has no crypto offload outbound";
  if (!opens && need != Need::kSeal) return "it has no crypto offload inbound";
  if (need == Need::kFaults && bench->device().faults() == nullptr) {
    return "it has no table \"faults\"";
  }
  return {};
}

std::span<const Check> DriverChecks() {
  static const std::vector<Check> checks = [] {
    std::vector<Check> all;
    for (const auto group : {DriverTableChecks(), DriverSealChecks(), DriverOpenChecks(),
                             DriverLifeChecks(), DriverWorkerChecks(), DriverPacketChecks()}) {
      all.insert(all.end(), group.begin(), group.end());
    }
    return all;
  }();
  return checks;
}

::cygnet::Result<About> LookAtDriver(const Subject& subject) {
  const auto bench = DriverBench::Open(subject);
  if (!bench) return bench.error();
  const cygnet_driver& driver = (*bench)->plugin().driver;
  return About{driver.name, driver.version, driver.vendor};
}

std::vector<Measurement> MeasureDriver(const Subject& subject) {
  const auto bench = DriverBench::Open(subject);
  std::vector<Measurement> rates;
  if (!bench || !WhyNotApplicable(bench->get(), Need::kCrypto).empty()) return rates;
  (*bench)->wire()->Discard();
  for (const std::size_t bytes : {64u, 256u, 1024u, 1400u}) {
    rates.push_back({"seal-" + std::to_string(bytes), "packets/s", SealRate(bench->get(), bytes)});
  }
  rates.push_back({"add", "SAs/s", AddRate(bench->get())});
  return rates;
}

}  // namespace cygnet::conformance
