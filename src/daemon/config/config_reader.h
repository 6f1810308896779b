// Reading of one table of a configuration file, strictly: errors name file, line and key. Used by
// config.cc and boundary_file.cc only.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// toml++ asserts what a file may well not hold ("[=" is enough) and handles it right below. With
// NDEBUG its assertions are promises to clang, without they would end the daemon: neither will do.
#define TOML_HEADER_ONLY 1
#define TOML_ASSERT(expr) static_cast<void>(0)
#pragma push_macro("NDEBUG")
#undef NDEBUG
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include "daemon/config/config.h"

namespace cygnet {

// The words that a key may have for value, and what they mean.
template <typename T>
using NamedValue = std::pair<std::string_view, T>;

struct Range {
  uint32_t min;
  uint32_t max;
};

// Thrown by the readers, caught by who parses the file.
struct ConfigError {
  std::string text;
};

// Letters to change, add or leave out to get from one word to the other (Levenshtein).
inline std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t same = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, same});
    }
  }
  return row.back();
}

// "; did you mean …?", or nothing when no name is near.
template <typename Names>
std::string Hint(std::string_view word, const Names& names) {
  constexpr std::size_t kNear = 2;
  if (word.size() > 40) return {};
  for (const std::string_view name : names) {
    // Of short names everything is near.
    if (EditDistance(word, name) <= std::min(kNear, name.size() / 2)) {
      return fmt::format("; did you mean \"{}\"?", name);
    }
  }
  return {};
}

inline std::string_view TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return node.as_array()->is_array_of_tables() ? "an array of tables" : "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a floating-point number";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

template <typename Names>
std::string Join(const Names& names) {
  std::string text;
  for (const std::string_view name : names) {
    text += fmt::format("{}\"{}\"", text.empty() ? "" : ", ", name);
  }
  return text;
}

// One table of the file, with what is needed to say where in it something is wrong.
class TableReader {
 public:
  TableReader(const toml::table& table, std::string section, const std::string& source)
      : table_(table), section_(std::move(section)), source_(source) {}

  // REQUIRES: called once, before the values are read.
  void AllowOnly(std::initializer_list<std::string_view> keys) const {
    for (const auto& [key, value] : table_) {
      const std::string_view name = key.str();
      if (std::find(keys.begin(), keys.end(), name) != keys.end()) continue;
      const bool is_table = value.is_table() || value.is_array_of_tables();
      Fail(key.source().begin.line, std::string(name),
           fmt::format("unknown {}{}", is_table ? "table" : "key", Hint(name, keys)));
    }
  }

  void Read(std::string_view key, Range range, uint32_t* out) const {
    const auto value = Get<int64_t>(key, "an integer");
    if (!value) return;
    if (*value < range.min || *value > range.max) {
      Fail(key, fmt::format("must be between {} and {}, is {}", range.min, range.max, *value));
    }
    *out = static_cast<uint32_t>(*value);
  }

  // What is not there stays unset.
  void Read(std::string_view key, Range range, std::optional<uint32_t>* out) const {
    if (table_.get(key) == nullptr) return;
    Read(key, range, &out->emplace());
  }

  // An array of words, each one of `words` and named once.
  void ReadSubset(std::string_view key, const std::vector<std::string_view>& words,
                  std::vector<std::string>* out) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return;
    if (!node->is_array()) Fail(key, fmt::format("must be an array, is {}", TypeName(*node)));
    out->clear();
    for (const toml::node& element : *node->as_array()) {
      const auto word = element.value_exact<std::string>();
      if (!word) Fail(key, fmt::format("must hold strings, holds {}", TypeName(element)));
      CheckIsOneOf(key, *word, words);
      if (std::find(out->begin(), out->end(), *word) != out->end()) {
        Fail(key, fmt::format("\"{}\" is named twice", *word));
      }
      out->push_back(*word);
    }
  }

  // As above, but 0 stands for something of its own.
  void ReadOrZero(std::string_view key, Range range, uint32_t* out) const {
    const auto value = Get<int64_t>(key, "an integer");
    if (!value) return;
    if (*value != 0 && (*value < range.min || *value > range.max)) {
      Fail(key, fmt::format("must be 0 or between {} and {}, is {}", range.min, range.max, *value));
    }
    *out = static_cast<uint32_t>(*value);
  }

  // nullptr: it is not there.
  const toml::node* Find(std::string_view key) const { return table_.get(key); }

  void Read(std::string_view key, bool* out) const {
    if (const auto value = Get<bool>(key, "true or false")) *out = *value;
  }

  void Read(std::string_view key, std::string* out) const {
    if (const auto value = Get<std::string>(key, "a string")) *out = *value;
  }

  void Read(std::string_view key, std::optional<toml::date>* out) const {
    if (const auto value = Get<toml::date>(key, "a date without quotes, as 2027-01-31")) {
      *out = *value;
    }
  }

  // Text that must be there.
  void ReadNeeded(std::string_view key, std::string* out) const {
    if (table_.get(key) == nullptr) Fail(key, "missing");
    Read(key, out);
    if (out->empty()) Fail(key, "must not be empty");
  }

  template <typename T, std::size_t kSize>
  void Read(std::string_view key, const std::array<NamedValue<T>, kSize>& table, T* out) const {
    const auto value = Get<std::string>(key, "a string");
    if (!value) return;
    std::vector<std::string_view> names;
    for (const auto& [name, named_value] : table) {
      if (name == *value) *out = named_value;
      names.push_back(name);
    }
    CheckIsOneOf(key, *value, names);
  }

  void CheckIsOneOf(std::string_view key, const std::string& value,
                    const std::vector<std::string_view>& names) const {
    if (std::find(names.begin(), names.end(), value) != names.end()) return;
    Fail(key,
         fmt::format("must be one of {}, is \"{}\"{}", Join(names), value, Hint(value, names)));
  }

  // A name that must be there.
  void ReadInterface(std::string_view key, std::string* out) const {
    if (table_.get(key) == nullptr) Fail(key, "missing");
    Read(key, out);
    if (IsInterfaceName(*out)) return;
    Fail(key, fmt::format("\"{}\" is no interface name (1 to 15 bytes, no blank, '/', ':' or '%')",
                          *out));
  }

  [[noreturn]] void Fail(std::string_view key, const std::string& text) const {
    const toml::node* node = table_.get(key);
    Fail(node != nullptr ? node->source().begin.line : table_.source().begin.line, std::string(key),
         text);
  }

 private:
  [[noreturn]] void Fail(toml::source_index line, const std::string& key,
                         const std::string& text) const {
    const std::string path = section_.empty() ? key : section_ + "." + key;
    throw ConfigError{fmt::format("{}:{}: {}: {}", source_, line, path, text)};
  }

  template <typename T>
  std::optional<T> Get(std::string_view key, std::string_view wanted) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    auto value = node->value_exact<T>();
    if (!value) Fail(key, fmt::format("must be {}, is {}", wanted, TypeName(*node)));
    return value;
  }

  const toml::table& table_;
  const std::string section_;
  const std::string& source_;
};

}  // namespace cygnet
