#include "plugin/driver_plugin.h"

#include <array>
#include <cstring>
#include <mutex>
#include <set>

#include "base/plain_text.h"
#include "plugin/trial.h"

namespace cygnet {
namespace {

using Entry = const cygnet_driver* (*)(uint32_t host_abi);

constexpr std::array kDriverMembers = {
    CYGNET_REQUIRED(cygnet_driver, name),        CYGNET_REQUIRED(cygnet_driver, version),
    CYGNET_REQUIRED(cygnet_driver, vendor),      CYGNET_REQUIRED(cygnet_driver, open),
    CYGNET_REQUIRED(cygnet_driver, close),       CYGNET_REQUIRED(cygnet_driver, caps),
    CYGNET_REQUIRED(cygnet_driver, identity),    CYGNET_REQUIRED(cygnet_driver, status),
    CYGNET_REQUIRED(cygnet_driver, stats),       CYGNET_REQUIRED(cygnet_driver, install_sa),
    CYGNET_REQUIRED(cygnet_driver, start_sa),    CYGNET_REQUIRED(cygnet_driver, stop_sa),
    CYGNET_REQUIRED(cygnet_driver, release_sa),  CYGNET_REQUIRED(cygnet_driver, take_erased),
    CYGNET_REQUIRED(cygnet_driver, tx_burst),    CYGNET_REQUIRED(cygnet_driver, rx_burst),
    CYGNET_REQUIRED(cygnet_driver, wait_fd),     CYGNET_REQUIRED(cygnet_driver, prepare_wait),
    CYGNET_REQUIRED(cygnet_driver, finish_wait),
};
constexpr std::array kSelfSending = {CYGNET_REQUIRED(cygnet_driver, port)};
constexpr std::array kPacketMembers = {
    CYGNET_REQUIRED(cygnet_packet_mode, add_policy),
    CYGNET_REQUIRED(cygnet_packet_mode, remove_policy),
    CYGNET_REQUIRED(cygnet_packet_mode, grant),
    CYGNET_REQUIRED(cygnet_packet_mode, set_limits),
    CYGNET_REQUIRED(cygnet_packet_mode, read),
    CYGNET_REQUIRED(cygnet_packet_mode, take_state),
    CYGNET_REQUIRED(cygnet_packet_mode, take_events),
};
constexpr std::array kLoopbackMembers = {CYGNET_REQUIRED(cygnet_loopback, loop)};
constexpr std::array kFaultMembers = {CYGNET_REQUIRED(cygnet_faults, inject)};
constexpr std::array kRecordMembers = {CYGNET_REQUIRED(cygnet_records, held),
                                       CYGNET_REQUIRED(cygnet_records, key_log)};
constexpr std::array kFindingMembers = {CYGNET_REQUIRED(cygnet_findings, take)};

// An optional table has all of its required members, if it is there.
template <typename T>
std::string Missing(const T* there, const T& table, std::string_view name,
                    std::span<const RequiredMember> required) {
  const std::string_view member = there == nullptr ? "" : MissingMember(&table, required);
  return member.empty() ? std::string() : std::string(name) + "." + std::string(member);
}

std::string FirstMissing(const DriverPlugin& p) {
  std::string missing(MissingMember(&p.driver, kDriverMembers));
  if (missing.empty() && p.driver.wire == CYGNET_WIRE_NONE) {
    missing = MissingMember(&p.driver, kSelfSending);
  }
  if (missing.empty()) missing = Missing(p.driver.packet, p.packet, "packet", kPacketMembers);
  if (missing.empty()) {
    missing = Missing(p.driver.loopback, p.loopback, "loopback", kLoopbackMembers);
  }
  if (missing.empty()) missing = Missing(p.driver.faults, p.faults, "faults", kFaultMembers);
  if (missing.empty()) missing = Missing(p.driver.records, p.records, "records", kRecordMembers);
  if (missing.empty()) {
    missing = Missing(p.driver.findings, p.findings, "findings", kFindingMembers);
  }
  return missing;
}

// A text of the plug-in's for logs and reports, valid for the life of the process.
const char* Cleaned(const char* text) {
  constexpr std::size_t kLongest = 128;
  static std::mutex lock;
  static std::set<std::string> texts;
  const std::lock_guard guard(lock);
  return texts.insert(PlainText({text, strnlen(text, kLongest)})).first->c_str();
}

Error Refused(const std::string& path, const std::string& why) {
  return MakeError(Errc::kInvalid, "plug-in " + path + " is refused: " + why);
}

}  // namespace

std::string DriverPlugin::Title() const {
  return std::string(driver.name) + " " + driver.version + " (" + path + ")";
}

Result<DriverPlugin> ReadDriver(const cygnet_driver* table, const std::string& path) {
  if (table == nullptr) {
    return Refused(
        path, "it cannot work with version " + std::to_string(CYGNET_ABI) + " of the interface");
  }
  if (table->abi != CYGNET_ABI) {
    return Refused(path, "it was built for version " + std::to_string(table->abi) +
                             " of the interface, and this is version " +
                             std::to_string(CYGNET_ABI));
  }
  DriverPlugin plugin;
  plugin.path = path;
  plugin.driver = ReadTable(table);
  plugin.packet = ReadTable(plugin.driver.packet);
  plugin.loopback = ReadTable(plugin.driver.loopback);
  plugin.faults = ReadTable(plugin.driver.faults);
  plugin.records = ReadTable(plugin.driver.records);
  plugin.findings = ReadTable(plugin.driver.findings);
  const std::string missing = FirstMissing(plugin);
  if (!missing.empty()) return Refused(path, "its driver does not have \"" + missing + "\"");
  for (const char** text : {&plugin.driver.name, &plugin.driver.version, &plugin.driver.vendor}) {
    *text = Cleaned(*text);
  }
  if (plugin.driver.wire > CYGNET_WIRE_EACH) {
    return Refused(path, "\"wire\" is " + std::to_string(plugin.driver.wire) +
                             ", which no CYGNET_WIRE_ constant is");
  }
  return plugin;
}

namespace {

Result<DriverPlugin> LoadIsolated(const std::string& path, PluginTrust trust,
                                  const IsolationSettings& isolation) {
  auto file = CheckPluginFile(path, trust);
  if (!file) return file.error();
  const auto table = LoadIsolatedDriver(file->path, isolation);
  if (!table) return table.error();
  auto plugin = ReadDriver(*table, file->path);
  if (!plugin) return plugin;
  plugin->sha256 = file->sha256;
  plugin->isolated = true;
  return plugin;
}

Result<DriverPlugin> LoadHere(const std::string& path, PluginTrust trust) {
  auto library = PluginLibrary::Load(path, trust);
  if (!library) return library.error();
  void* symbol = library->Find("cygnet_driver_entry");
  if (symbol == nullptr) {
    return Refused(path, "it does not export cygnet_driver_entry, so it is not a driver");
  }
  Entry entry = nullptr;
  std::memcpy(&entry, &symbol, sizeof(entry));
  NoteStep("cygnet_driver_entry");
  auto plugin = ReadDriver(entry(CYGNET_ABI), library->path());
  if (plugin) plugin->sha256 = library->sha256();
  return plugin;
}

}  // namespace

Result<DriverPlugin> LoadDriver(const std::string& path, PluginTrust trust,
                                const IsolationSettings* isolation) {
  if (isolation != nullptr) return LoadIsolated(path, trust, *isolation);
  const auto load = [&]() -> Status {
    const auto plugin = LoadHere(path, trust);
    return plugin ? Status() : plugin.error();
  };
  CYGNET_RETURN_IF_ERROR(TryToLoad(path, trust, load));
  return LoadHere(path, trust);
}

}  // namespace cygnet
