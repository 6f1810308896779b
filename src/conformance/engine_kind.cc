// Engines as a kind of plug-in that can be tested.
#include <chrono>

#include "conformance/engine_checks.h"
#include "conformance/kinds.h"

namespace cygnet::conformance {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kWindow{300};

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Packets per second that one thread seals, in bursts of 32.
double SealRate(EngineBench* b, std::size_t bytes) {
  constexpr std::size_t kBurst = 32;
  const auto session = b->Session(b->suite(), 1, CryptoDirection::kSeal);
  std::vector<EnginePacket> packets(kBurst,
                                    EnginePacket(b->suite(), bytes, 0, EnginePacket::Esn::kNo, 1));
  std::vector<CryptoJob> jobs;
  for (EnginePacket& packet : packets) {
    jobs.push_back(packet.Job(session.get(), CryptoDirection::kSeal));
  }
  uint64_t sealed = 0;
  const auto begin = Clock::now();
  while (Clock::now() - begin < kWindow && b->breach().empty()) {
    b->Run(jobs);
    sealed += kBurst;
  }
  return static_cast<double>(sealed) / SecondsSince(begin);
}

double SessionRate(EngineBench* b) {
  uint64_t made = 0;
  const auto begin = Clock::now();
  while (Clock::now() - begin < kWindow && b->breach().empty()) {
    (void)b->Session(b->suite(), static_cast<uint32_t>(made++), CryptoDirection::kSeal);
  }
  return static_cast<double>(made) / SecondsSince(begin);
}

}  // namespace

std::span<const Check> EngineChecks() {
  static const std::vector<Check> all = [] {
    std::vector<Check> checks;
    for (const auto& group : {EngineJobChecks(), EngineLifeChecks(), EnginePromiseChecks()}) {
      checks.insert(checks.end(), group.begin(), group.end());
    }
    return checks;
  }();
  return all;
}

::cygnet::Result<About> LookAtEngine(const Subject& subject) {
  const auto bench = EngineBench::Open(subject);
  if (!bench) return bench.error();
  return About{.name = std::string((*bench)->engine().name()),
               .version = (*bench)->about_version(),
               .vendor = (*bench)->about_vendor()};
}

std::vector<Measurement> MeasureEngine(const Subject& subject) {
  const auto bench = EngineBench::Open(subject);
  if (!bench || (*bench)->suites().empty()) return {};
  std::vector<Measurement> rates;
  for (const std::size_t bytes : {std::size_t{64}, std::size_t{1400}}) {
    rates.push_back({"seal-" + std::to_string(bytes), "packets/s", SealRate(bench->get(), bytes)});
  }
  rates.push_back({"sessions", "sessions/s", SessionRate(bench->get())});
  return rates;
}

}  // namespace cygnet::conformance
