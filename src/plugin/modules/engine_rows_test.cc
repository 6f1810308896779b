// The rows of the conformance suite of engines that are plug-ins: loaded as files, behind
// PluginEngine.
#include <dlfcn.h>

#include "plugin/plugin_engine.h"
#include "support/engine_conformance.h"

namespace cygnet::test {
namespace {

std::unique_ptr<CryptoEngine> Load(const char* file, std::vector<std::string> options) {
  void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    ADD_FAILURE() << dlerror();
    return nullptr;
  }
  const auto entry =
      reinterpret_cast<decltype(&cygnet_engine_entry)>(dlsym(library, CYGNET_ENGINE_ENTRY));
  PluginEngineSettings settings;
  settings.options = std::move(options);
  auto engine = PluginEngine::Open(entry(CYGNET_ABI), settings);
  if (!engine) {
    ADD_FAILURE() << engine.error().message;
    return nullptr;
  }
  return *std::move(engine);
}

template <const char* kEngine>
constexpr EngineInfo kBuiltin = {
    .name = kEngine,
    .help = "",
    .probe =
        [] {
          for (const EngineInfo* info : BuiltinEngines()) {
            if (info->name == kEngine) return info->probe();
          }
          return 0;
        },
    .create = [](const EngineOptions&) -> std::unique_ptr<CryptoEngine> {
      return Load(CYGNET_BUILTIN_ENGINE, {"engine=" + std::string(kEngine)});
    },
    .version = nullptr,
};
constexpr char kOpenssl[] = "openssl";
constexpr char kIpsecMb[] = "ipsec_mb";
constexpr char kVaesGcm[] = "vaes_gcm";

}  // namespace

std::vector<const EngineInfo*> PluginEngines() {
  return {&kBuiltin<kOpenssl>, &kBuiltin<kIpsecMb>, &kBuiltin<kVaesGcm>};
}

}  // namespace cygnet::test
