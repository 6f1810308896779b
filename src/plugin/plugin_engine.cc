#include "plugin/plugin_engine.h"

#include "plugin/plugin_engine_module.h"
#include "plugin/plugin_engine_queue.h"

namespace cygnet {

using plugin_engine::Module;

PluginEngine::PluginEngine(std::shared_ptr<Module> module) : module_(std::move(module)) {}
PluginEngine::~PluginEngine() = default;

Result<std::unique_ptr<PluginEngine>> PluginEngine::Open(const cygnet_engine* table,
                                                         const PluginEngineSettings& settings) {
  auto module = Module::Open(table, settings);
  if (!module) return module.error();
  return std::unique_ptr<PluginEngine>(new PluginEngine(*std::move(module)));
}

const EngineInfo& PluginEngine::info() const { return module_->info(); }
std::string PluginEngine::failure() const { return module_->failure(); }
std::string_view PluginEngine::name() const { return module_->info().name; }
ModuleIdentity PluginEngine::identity() const { return module_->identity(); }
EngineStats PluginEngine::stats() const { return module_->stats(); }

bool PluginEngine::Supports(const AlgorithmDescriptor& cipher,
                            const AlgorithmDescriptor* auth) const {
  return module_->Supports(cipher, auth);
}

Result<std::unique_ptr<CryptoSession>> PluginEngine::CreateSession(const SessionParams& params) {
  CYGNET_RETURN_IF_ERROR(CheckSessionParams(*this, params));
  auto handle = module_->CreateSession(params);
  if (!handle) return handle.error();
  return std::unique_ptr<CryptoSession>(std::make_unique<plugin_engine::Session>(module_, *handle));
}

std::unique_ptr<CryptoQueue> PluginEngine::CreateQueue(uint32_t number) {
  return std::make_unique<plugin_engine::Queue>(module_, number);
}

}  // namespace cygnet
