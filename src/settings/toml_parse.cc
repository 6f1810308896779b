// The only file that uses toml++.
#include <fmt/format.h>

// toml++ asserts on invalid input ("[=" is enough) and then handles it correctly. With NDEBUG clang
// treats these assertions as promises; without NDEBUG they would end the daemon. So they are
// disabled.
#define TOML_HEADER_ONLY 1
#define TOML_ASSERT(expr) static_cast<void>(0)
#pragma push_macro("NDEBUG")
#undef NDEBUG
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include "settings/toml_value.h"

namespace cygnet {
namespace {

TomlTable TableOf(const toml::table& from, const std::string& section, const std::string& source);

TomlValue ArrayOf(const toml::array& from, const std::string& section, const std::string& source);

TomlValue ValueOf(const toml::node& node, const std::string& section, const std::string& source) {
  if (const auto* table = node.as_table()) return TomlValue(TableOf(*table, section, source));
  if (const auto* array = node.as_array()) return ArrayOf(*array, section, source);
  if (const auto flag = node.value_exact<bool>()) return TomlValue(*flag);
  if (const auto number = node.value_exact<int64_t>()) return TomlValue(*number);
  if (auto text = node.value_exact<std::string>()) return TomlValue(*std::move(text));
  if (const auto date = node.value_exact<toml::date>()) {
    return TomlValue(TomlDate{date->year, date->month, date->day});
  }
  return TomlValue(
      TomlOther{node.is_floating_point() ? "a floating-point number" : "a date or time"});
}

TomlValue ArrayOf(const toml::array& from, const std::string& section, const std::string& source) {
  if (from.is_array_of_tables()) {
    TomlValue::Tables tables;
    for (const toml::node& element : from) {
      tables.push_back(TableOf(*element.as_table(), section, source));
    }
    return TomlValue(std::move(tables));
  }
  TomlValue::Array array;
  for (const toml::node& element : from) array.push_back(ValueOf(element, section, source));
  return TomlValue(std::move(array));
}

TomlTable TableOf(const toml::table& from, const std::string& section, const std::string& source) {
  TomlTable table(source, section, from.source().begin.line);
  for (const auto& [key, value] : from) {
    const std::string name(key.str());
    table.entries.push_back(
        {name, key.source().begin.line,
         ValueOf(value, section.empty() ? name : section + "." + name, source)});
  }
  return table;
}

}  // namespace

Result<TomlTable> ParseToml(std::string_view text, const std::string& source) {
  try {
    return TableOf(toml::parse(text, std::string_view(source)), "", source);
  } catch (const toml::parse_error& error) {
    return MakeError(Errc::kInvalid, fmt::format("{}:{}: {}", source, error.source().begin.line,
                                                 error.description()));
  }
}

}  // namespace cygnet
