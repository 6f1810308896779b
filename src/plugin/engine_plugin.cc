#include "plugin/engine_plugin.h"

#include "base/log.h"

namespace cygnet {

Result<EnginePlugin> LoadEngine(const std::string& path, PluginTrust trust) {
  const auto library = PluginLibrary::Load(path, trust);
  if (!library) return library.error();
  using Entry = const cygnet_engine* (*)(uint32_t host_abi);
  const auto entry = reinterpret_cast<Entry>(library->Find(CYGNET_ENGINE_ENTRY));
  if (entry == nullptr) {
    return MakeError(Errc::kInvalid,
                     "plug-in " + path + " is not an engine: it lacks " CYGNET_ENGINE_ENTRY);
  }
  return EnginePlugin{
      .table = entry(CYGNET_ABI), .path = library->path(), .sha256 = library->sha256()};
}

Result<std::unique_ptr<PluginEngine>> OpenEngine(const std::string& path, PluginTrust trust,
                                                 const PluginEngineSettings& settings) {
  const auto plugin = LoadEngine(path, trust);
  if (!plugin) return plugin.error();
  auto engine = PluginEngine::Open(plugin->table, settings);
  if (!engine)
    return MakeError(engine.error().code, "plug-in " + path + ": " + engine.error().message);
  Log(LogLevel::kInfo, "crypto engine " + std::string((*engine)->name()) + ": " +
                           Text((*engine)->identity()) + ", " + plugin->path + ", SHA-256 " +
                           plugin->sha256);
  return engine;
}

}  // namespace cygnet
