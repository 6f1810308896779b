// The rows of the conformance suite of engines that are plug-ins, in processes of their own.
#include "isolation/public_copy.h"
#include "plugin/isolation/isolation.h"
#include "plugin/plugin_engine.h"
#include "support/engine_conformance.h"

namespace cygnet::test {
namespace {

std::unique_ptr<CryptoEngine> Load(std::vector<std::string> options) {
  static const PublicCopy program(CYGNET_PLUGIN_HOST_BUILT);
  static const PublicCopy file(CYGNET_BUILTIN_ENGINE);
  static const auto table = LoadIsolatedEngine(file.path(), {.program = program.path()});
  if (!table) {
    ADD_FAILURE() << table.error().message;
    return nullptr;
  }
  PluginEngineSettings settings;
  settings.options = std::move(options);
  auto engine = PluginEngine::Open(*table, settings);
  if (!engine) {
    ADD_FAILURE() << engine.error().message;
    return nullptr;
  }
  return *std::move(engine);
}

template <const char* kEngine>
constexpr EngineInfo kIsolated = {
    .name = kEngine,
    .help = "",
    .probe =
        [] {
          for (const EngineInfo* info : BuiltinEngines()) {
            if (info->name == kEngine) return info->probe();
          }
          return 0;
        },
    .create = [](const EngineOptions&) { return Load({"engine=" + std::string(kEngine)}); },
    .version = nullptr,
};
constexpr char kOpenssl[] = "openssl";
constexpr char kIpsecMb[] = "ipsec_mb";
constexpr char kVaesGcm[] = "vaes_gcm";

}  // namespace

std::vector<const EngineInfo*> PluginEngines() {
  return {&kIsolated<kOpenssl>, &kIsolated<kIpsecMb>, &kIsolated<kVaesGcm>};
}

}  // namespace cygnet::test
