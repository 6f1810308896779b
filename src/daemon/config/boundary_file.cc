#include "daemon/config/boundary_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/text_file.h"
#include "settings/fields.h"

namespace cygnet {
namespace {

constexpr std::array<NamedValue<HolderKind>, 2> kKinds = {{
    {"device", HolderKind::kDevice},
    {"engine", HolderKind::kEngine},
}};

// A [[module]] table.
struct Module {
  HolderKind kind = HolderKind::kDevice;
  std::string name, model, serial, firmware, version, certificate;
  std::optional<TomlDate> expires;
};

Codec<std::optional<TomlDate>> Date() {
  return {"date",
          [](const TomlValue& value, std::optional<TomlDate>* out) -> Status {
            const auto* date = value.As<TomlDate>();
            if (date == nullptr) return WrongType("a date without quotes, as 2027-01-31", value);
            *out = *date;
            return {};
          },
          [](const std::optional<TomlDate>&) { return std::nullopt; }};
}

const std::vector<Field<Module>>& ModuleFields() {
  constexpr KeyKind kNeeded = KeyKind::kNeeded;
  static const std::vector<Field<Module>> kFields = {
      {"kind", &Module::kind, OneOf(std::span<const NamedValue<HolderKind>>(kKinds)),
       "kind of module", kNeeded},
      {"name", &Module::name, TextNotEmpty(), "name of the device or engine"},
      {"model", &Module::model, TextNotEmpty(), "model name that it reports", kNeeded},
      {"serial", &Module::serial, TextNotEmpty(), "of a device, or of the one behind an engine"},
      {"firmware", &Module::firmware, TextNotEmpty(), "as serial"},
      {"version", &Module::version, TextNotEmpty(), "of an engine"},
      {"certificate", &Module::certificate, TextNotEmpty(), "its validation certificate"},
      {"expires", &Module::expires, Date(), "last valid day"},
  };
  return kFields;
}

// The first second after the day, in UTC.
uint64_t EndOf(const TomlDate& date) {
  const std::chrono::year_month_day day{std::chrono::year(date.year),
                                        std::chrono::month(date.month), std::chrono::day(date.day)};
  const auto end = std::chrono::sys_days(day) + std::chrono::days(1);
  const auto seconds = std::chrono::sys_seconds(end).time_since_epoch().count();
  return seconds > 0 ? static_cast<uint64_t>(seconds) : 1;  // 0 would mean never
}

Result<BoundaryEntry> ReadModule(const TomlTable& table) {
  CYGNET_RETURN_IF_ERROR(CheckKeys(table, InfoOf(ModuleFields())));
  Module module;
  CYGNET_RETURN_IF_ERROR(ReadFields(table, ModuleFields(), &module));
  const bool device = module.kind == HolderKind::kDevice;
  if (device && table.Find("version") != nullptr) {
    return table.Wrong("version", "only for an engine; a device has \"firmware\"");
  }
  for (const char* key : {device ? "firmware" : "version", "certificate"}) {
    if (table.Find(key) == nullptr) return table.Wrong(key, "missing");
  }
  BoundaryEntry entry{.kind = module.kind,
                      .name = module.name,
                      .model = module.model,
                      .serial = module.serial,
                      .version = device ? module.firmware : module.version,
                      .certificate = module.certificate,
                      .firmware = device ? "" : module.firmware};
  if (module.expires) entry.expires = EndOf(*module.expires);
  return entry;
}

Result<Boundary> ReadBoundary(const TomlTable& root) {
  Boundary boundary{.source = root.source};
  CYGNET_RETURN_IF_ERROR(CheckKeys(root, {{"module", "", ""}}));
  const TomlEntry* modules = root.Find("module");
  if (modules == nullptr) return boundary;
  const auto* tables = modules->value.As<TomlValue::Tables>();
  if (tables == nullptr) {
    return root.Wrong("module", fmt::format("must be an array of tables: [[module]], is {}",
                                            modules->value.TypeName()));
  }
  for (const TomlTable& table : *tables) {
    auto entry = ReadModule(table);
    if (!entry) return entry.error();
    boundary.entries.push_back(*std::move(entry));
  }
  return boundary;
}

// Rejects letters that look alike, which could make two names look the same. (toml++ 3.1 also has
// undefined behaviour on some of them outside quotes.)
Status CheckAscii(std::string_view text, const std::string& source) {
  const auto beyond = std::find_if(text.begin(), text.end(),
                                   [](char c) { return static_cast<unsigned char>(c) > 0x7f; });
  if (beyond == text.end()) return {};
  return MakeError(Errc::kInvalid, fmt::format("{}:{}: a boundary list must be ASCII", source,
                                               1 + std::count(text.begin(), beyond, '\n')));
}

}  // namespace

Result<Boundary> ParseBoundary(std::string_view text, const std::string& source) {
  CYGNET_RETURN_IF_ERROR(CheckAscii(text, source));
  const auto root = ParseToml(text, source);
  if (!root) return root.error();
  return ReadBoundary(*root);
}

Result<Boundary> LoadBoundary(const std::string& path) {
  const auto text = ReadTextFile(path);
  if (!text) return text.error();
  return ParseBoundary(*text, path);
}

}  // namespace cygnet
