// Loads an engine by others (include/cygnet/engine.h) from a shared library.
#pragma once

#include <memory>
#include <string>

#include "plugin/isolation/isolation.h"
#include "plugin/plugin_engine.h"
#include "plugin/plugin_library.h"

namespace cygnet {

struct EnginePlugin {
  const cygnet_engine* table = nullptr;
  std::string path{};    // resolved
  std::string sha256{};  // of the file
};

// The error names the file.
// `isolation`: it runs in a process of its own; nullptr: in this one.
Result<EnginePlugin> LoadEngine(const std::string& path, PluginTrust trust,
                                const IsolationSettings* isolation = nullptr);
// Also opens the engine.
Result<std::unique_ptr<PluginEngine>> OpenEngine(const std::string& path, PluginTrust trust,
                                                 const PluginEngineSettings& settings,
                                                 const IsolationSettings* isolation = nullptr);

}  // namespace cygnet
