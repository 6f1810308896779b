#include "plugin/engine_plugin.h"

#include "base/log.h"
#include "crypto/known_answer.h"
#include "plugin/trial.h"

namespace cygnet {

namespace {

Result<EnginePlugin> LoadIsolated(const std::string& path, PluginTrust trust,
                                  const IsolationSettings& isolation) {
  auto file = CheckPluginFile(path, trust);
  if (!file) return file.error();
  const auto table = LoadIsolatedEngine(file->path, isolation);
  if (!table) return table.error();
  return EnginePlugin{.table = *table, .path = file->path, .sha256 = file->sha256};
}

Result<EnginePlugin> LoadHere(const std::string& path, PluginTrust trust) {
  const auto library = PluginLibrary::Load(path, trust);
  if (!library) return library.error();
  using Entry = const cygnet_engine* (*)(uint32_t host_abi);
  const auto entry = reinterpret_cast<Entry>(library->Find(CYGNET_ENGINE_ENTRY));
  if (entry == nullptr) {
    return MakeError(Errc::kInvalid,
                     "plug-in " + path + " is not an engine: it lacks " CYGNET_ENGINE_ENTRY);
  }
  NoteStep(CYGNET_ENGINE_ENTRY);
  return EnginePlugin{
      .table = entry(CYGNET_ABI), .path = library->path(), .sha256 = library->sha256()};
}

}  // namespace

Result<EnginePlugin> LoadEngine(const std::string& path, PluginTrust trust,
                                const IsolationSettings* isolation) {
  return isolation != nullptr ? LoadIsolated(path, trust, *isolation) : LoadHere(path, trust);
}

Result<std::unique_ptr<PluginEngine>> OpenEngine(const std::string& path, PluginTrust trust,
                                                 const PluginEngineSettings& settings,
                                                 const IsolationSettings* isolation) {
  if (isolation == nullptr) {
    const auto open = [&]() -> Status {
      const auto tried = LoadHere(path, trust);
      if (!tried) return tried.error();
      const auto engine = PluginEngine::Open(tried->table, settings);
      return engine ? Status() : engine.error();
    };
    CYGNET_RETURN_IF_ERROR(TryToLoad(path, trust, open));
  }
  const auto plugin = LoadEngine(path, trust, isolation);
  if (!plugin) return plugin.error();
  auto engine = PluginEngine::Open(plugin->table, settings);
  if (!engine)
    return MakeError(engine.error().code, "plug-in " + path + ": " + engine.error().message);
  // Only a wrong answer is a reason, not a question that it cannot take.
  const Status known = RunSelfTest(engine->get());
  if (!known && known.error().code == Errc::kIo) {
    return MakeError(Errc::kIo, "plug-in " + path + " is refused: " + known.error().message);
  }
  Log(LogLevel::kInfo, "crypto engine " + std::string((*engine)->name()) + ": " +
                           Text((*engine)->identity()) + ", " + plugin->path + ", SHA-256 " +
                           plugin->sha256);
  return engine;
}

}  // namespace cygnet
