// The rows of the conformance suite of engines that are plug-ins: loaded as files, behind
// PluginEngine.
#include <dlfcn.h>

#include <sstream>

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
#ifdef CYGNET_CRYPTODEV_ENGINE
// A device of DPDK, in software. `kOptions`: separated by ';'.
template <const char* kName, const char* kOptions>
constexpr EngineInfo kCryptodev = {
    .name = kName,
    .help = "",
    .probe = [] { return 1; },
    .create = [](const EngineOptions&) -> std::unique_ptr<CryptoEngine> {
      std::vector<std::string> options;
      std::stringstream words{std::string(kOptions)};
      for (std::string word; std::getline(words, word, ';');) options.push_back(word);
      return Load(CYGNET_CRYPTODEV_ENGINE, options);
    },
    .version = nullptr,
};
constexpr char kDevOpenssl[] = "crypto_openssl";
constexpr char kDevOpensslOptions[] = "crypto=crypto_openssl0";
constexpr char kDevGcm[] = "crypto_aesni_gcm";
constexpr char kDevGcmOptions[] = "crypto=crypto_aesni_gcm0";
constexpr char kDevMb[] = "crypto_aesni_mb";
constexpr char kDevMbOptions[] = "crypto=crypto_aesni_mb0";
constexpr char kDevCopy[] = "crypto_aesni_mb_copy";
constexpr char kDevCopyOptions[] = "crypto=crypto_aesni_mb0;copy=yes";
constexpr char kDevScheduler[] = "crypto_scheduler";
constexpr char kDevSchedulerOptions[] =
    "member=crypto_aesni_mb1;member=crypto_aesni_mb2;"
    "crypto=crypto_scheduler0,worker=crypto_aesni_mb1,worker=crypto_aesni_mb2,"
    "mode=round-robin,ordering=enable";
#endif

constexpr char kOpenssl[] = "openssl";
constexpr char kIpsecMb[] = "ipsec_mb";
constexpr char kVaesGcm[] = "vaes_gcm";

}  // namespace

std::vector<const EngineInfo*> PluginEngines() {
  return {
      &kBuiltin<kOpenssl>,
      &kBuiltin<kIpsecMb>,
      &kBuiltin<kVaesGcm>,
#ifdef CYGNET_CRYPTODEV_ENGINE
      &kCryptodev<kDevOpenssl, kDevOpensslOptions>,
      &kCryptodev<kDevGcm, kDevGcmOptions>,
      &kCryptodev<kDevMb, kDevMbOptions>,
      &kCryptodev<kDevCopy, kDevCopyOptions>,
      &kCryptodev<kDevScheduler, kDevSchedulerOptions>,
#endif
  };
}

}  // namespace cygnet::test
