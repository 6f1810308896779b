// EngineSet: the engines of one daemon, numbered. Made before the workers start, then unchanged.
#pragma once

#include <optional>
#include <vector>

#include "crypto/crypto_engine.h"
#include "crypto/known_answer.h"

namespace cygnet {

// What placement may do with look-aside engines.
enum class LookAsideMode : uint8_t {
  kNo,    // nothing
  kAuto,  // every SA half that no NIC takes and they can do
};

class EngineSet {
 public:
  static constexpr uint32_t kMaxEngines = 4;

  struct Entry {
    const EngineInfo* info = nullptr;
    std::unique_ptr<CryptoEngine> engine;
    SelfTestOutcome self_test{};
  };

  // Every CPU engine that runs here, the best first; `preferred`, when not empty, before all
  // others. Errc::kNoEntry: that one is unknown or cannot run here.
  static Result<EngineSet> ForCpu(std::string_view preferred, const EngineOptions& options = {});

  // REQUIRES: size() < kMaxEngines. Of two of a kind the one added first is asked first.
  void Add(const EngineInfo* info, std::unique_ptr<CryptoEngine> engine) {
    entries_.push_back({info, std::move(engine), {}});
  }

  // Known-answer tests of every engine; the outcomes are in the entries. Before the workers start.
  void RunSelfTests();

  // Number of the first engine of that kind which can do the pair (`auth` nullptr: an AEAD).
  std::optional<uint32_t> Find(EngineKind kind, const AlgorithmDescriptor& cipher,
                               const AlgorithmDescriptor* auth) const;

  uint32_t size() const { return static_cast<uint32_t>(entries_.size()); }
  const Entry& operator[](uint32_t number) const { return entries_[number]; }
  CryptoEngine* engine(uint32_t number) const { return entries_[number].engine.get(); }

 private:
  std::vector<Entry> entries_;
};

}  // namespace cygnet
