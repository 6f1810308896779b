// Known-answer tests of an engine, as FIPS 140 requires at start: published vectors through the
// same interface that packets use.
#pragma once

#include <string>

#include "crypto/crypto_engine.h"

namespace cygnet {

struct SelfTestOutcome {
  bool ran = false;
  std::string failure{};  // empty after a successful run
  bool passed() const { return ran && failure.empty(); }
};

// For each supported algorithm: seals to the known bytes, opens them, and refuses them with a
// forged ICV. The error names engine and algorithm. REQUIRES: nobody else uses queue 0 of the
// engine meanwhile.
Status RunSelfTest(CryptoEngine* engine);

SelfTestOutcome TestEngine(CryptoEngine* engine);

}  // namespace cygnet
