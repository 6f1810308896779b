// EngineSet: the numbered engines of one daemon. Fixed before the workers start.
#pragma once

#include <optional>
#include <vector>

#include "crypto/crypto_engine.h"
#include "crypto/known_answer.h"

namespace cygnet {

// Whether placement may use look-aside engines.
enum class LookAsideMode : uint8_t {
  kNo,    // never
  kAuto,  // for every SA half that no NIC accepts and a look-aside engine supports
};

class EngineSet {
 public:
  static constexpr uint32_t kMaxEngines = 4;

  struct Entry {
    const EngineInfo* info = nullptr;
    std::unique_ptr<CryptoEngine> engine;
    SelfTestOutcome self_test{};
  };

  // All CPU engines that run here, best first; `preferred`, if not empty, precedes the others.
  // Errc::kNoEntry if `preferred` is unknown or cannot run here.
  static Result<EngineSet> ForCpu(std::string_view preferred, const EngineOptions& options = {});

  // REQUIRES: size() < kMaxEngines. Of two engines of a kind, the one added first is preferred.
  void Add(const EngineInfo* info, std::unique_ptr<CryptoEngine> engine) {
    entries_.push_back({info, std::move(engine), {}});
  }

  // Runs the known-answer tests of every engine and stores the outcomes. Before the workers start.
  void RunSelfTests();

  // Number of the first engine of the kind that supports the pair (`auth` is nullptr for an AEAD).
  std::optional<uint32_t> Find(EngineKind kind, const AlgorithmDescriptor& cipher,
                               const AlgorithmDescriptor* auth) const;

  uint32_t size() const { return static_cast<uint32_t>(entries_.size()); }
  const Entry& operator[](uint32_t number) const { return entries_[number]; }
  CryptoEngine* engine(uint32_t number) const { return entries_[number].engine.get(); }

 private:
  std::vector<Entry> entries_;
};

}  // namespace cygnet
