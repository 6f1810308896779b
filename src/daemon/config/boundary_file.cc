#include "daemon/config/boundary_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/text_file.h"
#include "daemon/config/config_reader.h"

namespace cygnet {
namespace {

constexpr std::array<NamedValue<HolderKind>, 2> kKinds = {{
    {"device", HolderKind::kDevice},
    {"engine", HolderKind::kEngine},
}};

// The second after the day's last, in UTC.
uint64_t EndOf(const toml::date& date) {
  const std::chrono::year_month_day day{std::chrono::year(date.year),
                                        std::chrono::month(date.month), std::chrono::day(date.day)};
  const auto end = std::chrono::sys_days(day) + std::chrono::days(1);
  const auto seconds = std::chrono::sys_seconds(end).time_since_epoch().count();
  return seconds > 0 ? static_cast<uint64_t>(seconds) : 1;  // 0 would be never
}

BoundaryEntry ReadModule(const toml::table& table, const std::string& source) {
  const TableReader reader(table, "module", source);
  reader.AllowOnly(
      {"kind", "name", "model", "serial", "firmware", "version", "certificate", "expires"});
  if (table.get("kind") == nullptr) reader.Fail("kind", "missing");
  BoundaryEntry entry;
  reader.Read("kind", kKinds, &entry.kind);
  const bool device = entry.kind == HolderKind::kDevice;
  if (device && table.get("version") != nullptr) {
    reader.Fail("version", "a device has \"firmware\"; an engine has a version");
  }
  for (const char* key : {"firmware", "serial"}) {
    if (device || table.get(key) == nullptr) continue;
    reader.Fail(key, "is of a device; an engine has a \"version\"");
  }
  if (table.get("name") != nullptr) reader.ReadNeeded("name", &entry.name);
  reader.ReadNeeded("model", &entry.model);
  if (table.get("serial") != nullptr) reader.ReadNeeded("serial", &entry.serial);
  reader.ReadNeeded(device ? "firmware" : "version", &entry.version);
  reader.ReadNeeded("certificate", &entry.certificate);
  std::optional<toml::date> expires;
  reader.Read("expires", &expires);
  if (expires) entry.expires = EndOf(*expires);
  return entry;
}

Boundary ReadBoundary(const toml::table& root, const std::string& source) {
  Boundary boundary{.source = source};
  const TableReader reader(root, "", source);
  reader.AllowOnly({"module"});
  const toml::node* node = root.get("module");
  if (node == nullptr) return boundary;
  if (!node->is_array_of_tables()) {
    reader.Fail("module",
                fmt::format("must be an array of tables: [[module]], is {}", TypeName(*node)));
  }
  for (const toml::node& entry : *node->as_array()) {
    boundary.entries.push_back(ReadModule(*entry.as_table(), source));
  }
  return boundary;
}

// Letters that look alike must not make two names of one. (toml++ 3.1 also runs into undefined
// behaviour on some that stand outside of quotes.)
Status CheckAscii(std::string_view text, const std::string& source) {
  const auto beyond = std::find_if(text.begin(), text.end(),
                                   [](char c) { return static_cast<unsigned char>(c) > 0x7f; });
  if (beyond == text.end()) return {};
  return MakeError(Errc::kInvalid, fmt::format("{}:{}: a boundary list is ASCII throughout", source,
                                               1 + std::count(text.begin(), beyond, '\n')));
}

}  // namespace

Result<Boundary> ParseBoundary(std::string_view text, const std::string& source) {
  CYGNET_RETURN_IF_ERROR(CheckAscii(text, source));
  try {
    return ReadBoundary(toml::parse(text, std::string_view(source)), source);
  } catch (const toml::parse_error& error) {
    return MakeError(Errc::kInvalid, fmt::format("{}:{}: {}", source, error.source().begin.line,
                                                 error.description()));
  } catch (const ConfigError& error) {
    return MakeError(Errc::kInvalid, error.text);
  }
}

Result<Boundary> LoadBoundary(const std::string& path) {
  const auto text = ReadTextFile(path);
  if (!text) return text.error();
  return ParseBoundary(*text, path);
}

}  // namespace cygnet
