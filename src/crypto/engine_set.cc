#include "crypto/engine_set.h"

#include <algorithm>

namespace cygnet {

Result<EngineSet> EngineSet::ForCpu(std::string_view preferred, const EngineOptions& options) {
  struct Candidate {
    const EngineInfo* info;
    int priority;
  };
  std::vector<Candidate> candidates;
  bool found = preferred.empty();
  for (const EngineInfo* info : BuiltinEngines()) {
    const int priority = info->kind == EngineKind::kCpu ? info->probe() : 0;
    if (priority == 0) continue;
    const bool wanted = info->name == preferred;
    found = found || wanted;
    candidates.push_back({info, wanted ? 1 << 20 : priority});
  }
  if (!found) {
    std::string usable;
    for (const Candidate& c : candidates) usable += ", " + std::string(c.info->name);
    return MakeError(Errc::kNoEntry, "CPU crypto engine '" + std::string(preferred) +
                                         "' is unknown or cannot run here; use one of " +
                                         (usable.empty() ? "none" : usable.substr(2)));
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.priority > b.priority; });
  EngineSet set;
  for (const Candidate& c : candidates) {
    if (set.size() < kMaxEngines) set.Add(c.info, c.info->create(options));
  }
  return set;
}

void EngineSet::RunSelfTests() {
  for (Entry& entry : entries_) entry.self_test = TestEngine(entry.engine.get());
}

std::optional<uint32_t> EngineSet::Find(EngineKind kind, const AlgorithmDescriptor& cipher,
                                        const AlgorithmDescriptor* auth) const {
  for (uint32_t i = 0; i < size(); ++i) {
    if (entries_[i].info->kind == kind && entries_[i].engine->Supports(cipher, auth)) return i;
  }
  return std::nullopt;
}

}  // namespace cygnet
