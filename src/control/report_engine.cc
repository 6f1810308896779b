// Engines, as the operator sees them.
#include <algorithm>

#include "control/reports.h"

namespace cygnet {
namespace {

// True if the engine supports this authenticator with any cipher, or this cipher with any
// authenticator.
bool SupportsInAPair(const CryptoEngine& engine, const AlgorithmDescriptor& row) {
  for (const AlgorithmDescriptor& other : AllAlgorithms()) {
    if (row.kind == AlgorithmKind::kCipher && other.kind == AlgorithmKind::kAuth &&
        engine.Supports(row, &other)) {
      return true;
    }
    if (row.kind == AlgorithmKind::kAuth && other.kind == AlgorithmKind::kCipher &&
        engine.Supports(other, &row)) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> AlgorithmsOf(const CryptoEngine& engine) {
  std::vector<std::string> names;
  for (const AlgorithmDescriptor& row : AllAlgorithms()) {
    const bool can = row.kind == AlgorithmKind::kAead ? engine.Supports(row, nullptr)
                                                      : SupportsInAPair(engine, row);
    if (can) names.emplace_back(row.name);
  }
  return names;
}

EngineReport Describe(const EngineInfo& info) {
  EngineReport report;
  report.name = info.name;
  report.help = info.help;
  report.kind = info.kind == EngineKind::kCpu ? "cpu" : "look-aside";
  report.priority = info.probe();
  if (report.priority != 0 && info.version != nullptr) report.version = info.version();
  return report;
}

}  // namespace

uint64_t Reports::HalvesOn(uint32_t engine) const {
  uint64_t halves = 0;
  for (const auto& [number, placed] : from_.placement.all()) {
    for (const Half half : kHalves) {
      const SaBinding* binding = placed.half(half).binding.get();
      // For a half on a device the CPU's engine is only the fallback, and idle.
      if (binding == nullptr || binding->on_device() || binding->blocked()) continue;
      if (binding->engine().engine == engine) ++halves;
    }
  }
  return halves;
}

std::vector<EngineReport> Reports::ReportEngines() const {
  std::vector<EngineReport> reports;
  const EngineSet& engines = from_.engines;
  for (uint32_t i = 0; i < engines.size(); ++i) {
    EngineReport report = Describe(*engines[i].info);
    report.order = i + 1;
    report.algorithms = AlgorithmsOf(*engines.engine(i));
    report.module = Text(engines.engine(i)->identity());
    report.sa_halves = HalvesOn(i);
    report.stats = engines.engine(i)->stats();
    report.failure = from_.placement.devices().engine_failure(i);
    for (const auto& worker : from_.path.engine_jobs) {
      report.stats.jobs += worker->done[i].load(std::memory_order_relaxed);
    }
    if (const auto& denied = from_.placement.devices().engine_denied()[i])
      report.denied = denied->Text();
    reports.push_back(std::move(report));
  }
  for (const EngineInfo* info : BuiltinEngines()) {
    const bool used = std::any_of(reports.begin(), reports.end(),
                                  [&](const auto& report) { return report.name == info->name; });
    if (!used) reports.push_back(Describe(*info));
  }
  return reports;
}

}  // namespace cygnet
