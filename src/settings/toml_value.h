// The contents of a TOML file, independent of the parser library. Errors name file, line and key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace cygnet {

struct TomlEntry;
class TomlValue;

// One table of a file.
struct TomlTable {
  // Out of line, because an entry is an incomplete type here.
  TomlTable();
  TomlTable(std::string source_name, std::string section_name, uint32_t first_line);
  TomlTable(const TomlTable& other);
  TomlTable(TomlTable&& other) noexcept;
  TomlTable& operator=(const TomlTable& other);
  TomlTable& operator=(TomlTable&& other) noexcept;
  ~TomlTable();

  std::string source;   // name of the file, for errors
  std::string section;  // "device"; empty: the file itself
  uint32_t line = 0;
  std::vector<TomlEntry> entries;

  const TomlEntry* Find(std::string_view key) const;
  void Add(std::string key, TomlValue value);
  // "f.toml:4: device.mtu: TEXT", with the line of the key, or of the table if the key is missing.
  Error Wrong(std::string_view key, const std::string& text) const;
  // Compares keys and values, not positions.
  bool operator==(const TomlTable& other) const;
};

struct TomlDate {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  bool operator==(const TomlDate&) const = default;
};

// A value of a kind that no key uses: floating-point numbers and times.
struct TomlOther {
  std::string_view type;
  bool operator==(const TomlOther&) const = default;
};

enum class NumberBase : uint8_t { kDecimal, kHexadecimal };

class TomlValue {
 public:
  using Array = std::vector<TomlValue>;
  using Tables = std::vector<TomlTable>;

  explicit TomlValue(bool value) : data_(value) {}
  explicit TomlValue(int64_t value, NumberBase base = NumberBase::kDecimal)
      : data_(value), base_(base) {}
  explicit TomlValue(std::string value) : data_(std::move(value)) {}
  explicit TomlValue(TomlDate value) : data_(value) {}
  explicit TomlValue(TomlOther value) : data_(value) {}
  explicit TomlValue(Array value) : data_(std::move(value)) {}
  explicit TomlValue(Tables value) : data_(std::move(value)) {}
  explicit TomlValue(TomlTable value) : data_(std::move(value)) {}

  // nullptr: another type.
  template <typename T>
  const T* As() const {
    return std::get_if<T>(&data_);
  }
  // "a string", "an array of tables" …, for errors.
  std::string_view TypeName() const;
  // In the syntax of a file. Does not support tables.
  std::string Text() const;
  bool operator==(const TomlValue& other) const { return data_ == other.data_; }

 private:
  std::variant<bool, int64_t, std::string, TomlDate, TomlOther, Array, Tables, TomlTable> data_;
  NumberBase base_ = NumberBase::kDecimal;
};

struct TomlEntry {
  std::string key;
  uint32_t line = 0;
  TomlValue value;
  bool operator==(const TomlEntry& other) const { return key == other.key && value == other.value; }
};

// One "key = value" per line.
std::string PrintEntries(const TomlTable& table);

// Errors start with `source`, the file's name.
Result<TomlTable> ParseToml(std::string_view text, const std::string& source);

}  // namespace cygnet
