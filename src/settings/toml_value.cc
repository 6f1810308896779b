#include "settings/toml_value.h"

#include <fmt/format.h>

#include <algorithm>

namespace cygnet {
namespace {

// A basic string of TOML: control characters are escaped, UTF-8 stays.
std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

TomlTable::TomlTable() = default;
TomlTable::TomlTable(std::string source_name, std::string section_name, uint32_t first_line)
    : source(std::move(source_name)), section(std::move(section_name)), line(first_line) {}
TomlTable::TomlTable(const TomlTable& other) = default;
TomlTable::TomlTable(TomlTable&& other) noexcept = default;
TomlTable& TomlTable::operator=(const TomlTable& other) = default;
TomlTable& TomlTable::operator=(TomlTable&& other) noexcept = default;
TomlTable::~TomlTable() = default;

const TomlEntry* TomlTable::Find(std::string_view key) const {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [key](const TomlEntry& entry) { return entry.key == key; });
  return found == entries.end() ? nullptr : &*found;
}

void TomlTable::Add(std::string key, TomlValue value) {
  entries.push_back({std::move(key), line, std::move(value)});
}

Error TomlTable::Wrong(std::string_view key, const std::string& text) const {
  const TomlEntry* entry = Find(key);
  return MakeError(Errc::kInvalid,
                   fmt::format("{}:{}: {}{}{}: {}", source, entry != nullptr ? entry->line : line,
                               section, section.empty() ? "" : ".", key, text));
}

bool TomlTable::operator==(const TomlTable& other) const { return entries == other.entries; }

std::string_view TomlValue::TypeName() const {
  struct Names {
    std::string_view operator()(bool) const { return "a boolean"; }
    std::string_view operator()(int64_t) const { return "an integer"; }
    std::string_view operator()(const std::string&) const { return "a string"; }
    std::string_view operator()(const TomlDate&) const { return "a date or time"; }
    std::string_view operator()(const TomlOther& other) const { return other.type; }
    std::string_view operator()(const Array&) const { return "an array"; }
    std::string_view operator()(const Tables&) const { return "an array of tables"; }
    std::string_view operator()(const TomlTable&) const { return "a table"; }
  };
  return std::visit(Names{}, data_);
}

std::string TomlValue::Text() const {
  if (const auto* flag = As<bool>()) return *flag ? "true" : "false";
  if (const auto* number = As<int64_t>()) {
    return base_ == NumberBase::kHexadecimal ? fmt::format("{:#06x}", *number)
                                             : fmt::format("{}", *number);
  }
  if (const auto* text = As<std::string>()) return Quote(*text);
  if (const auto* date = As<TomlDate>()) {
    return fmt::format("{:04}-{:02}-{:02}", date->year, date->month, date->day);
  }
  const auto* array = As<Array>();
  if (array == nullptr) return {};
  std::string out;
  for (const TomlValue& value : *array) out += (out.empty() ? "" : ", ") + value.Text();
  return "[" + out + "]";
}

std::string PrintEntries(const TomlTable& table) {
  std::string text;
  for (const TomlEntry& entry : table.entries) {
    text += fmt::format("{} = {}\n", entry.key, entry.value.Text());
  }
  return text;
}

}  // namespace cygnet
