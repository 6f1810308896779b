// A crypto engine that is a plug-in (include/cygnet/engine.h), as a look-aside engine of the data
// path.
//
// The plug-in is not trusted to keep its contract. What it does is checked where it could harm the
// process: the first breach makes the engine failed for good. Then it accepts no jobs and no
// sessions, and the packets that it holds are dropped; the CPU does the rest.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "crypto/crypto_engine.h"
#include "cygnet/engine.h"

namespace cygnet {

namespace plugin_engine {
class Module;
}

struct PluginEngineSettings {
  EngineOptions engine{};
  uint32_t queues = kMaxCryptoQueues;     // at the same time
  std::vector<std::string> options = {};  // "key=value", for the plug-in
  // A job that the plug-in holds longer is lost.
  std::chrono::milliseconds patience{CYGNET_PATIENCE_MS};
};

class PluginEngine final : public CryptoEngine {
 public:
  // Checks the table and opens the engine. The error says what the plug-in lacks or answered.
  // `table`: of a library that stays loaded.
  static Result<std::unique_ptr<PluginEngine>> Open(const cygnet_engine* table,
                                                    const PluginEngineSettings& settings);
  ~PluginEngine() override;

  // For EngineSet::Add. Valid as long as the engine.
  const EngineInfo& info() const;
  std::string_view name() const override;
  // True if the plug-in can make a session of the pair with some of the lengths of the table.
  bool Supports(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) const override;
  // Also Errc::kNotSupported: not with these lengths.
  Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) override;
  // Never nullptr: a queue that the plug-in refuses accepts no jobs.
  std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) override;
  ModuleIdentity identity() const override;
  std::string failure() const override;
  EngineStats stats() const override;

 private:
  explicit PluginEngine(std::shared_ptr<plugin_engine::Module> module);

  const std::shared_ptr<plugin_engine::Module> module_;
};

}  // namespace cygnet
