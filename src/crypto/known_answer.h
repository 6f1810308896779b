// Known-answer tests of an engine, as FIPS 140 asks for at start: published vectors through the
// interface that packets take, so that what is tested is what works.
#pragma once

#include <string>

#include "crypto/crypto_engine.h"

namespace cygnet {

struct SelfTestOutcome {
  bool ran = false;
  std::string failure{};  // empty after a run: every answer was right
  bool passed() const { return ran && failure.empty(); }
};

// For each algorithm that the engine does: seals to the known bytes, opens them again, refuses them
// with a forged ICV. The error names engine and algorithm. Not while the engine is at work for
// anybody else on queue 0.
Status RunSelfTest(CryptoEngine* engine);

SelfTestOutcome TestEngine(CryptoEngine* engine);

}  // namespace cygnet
