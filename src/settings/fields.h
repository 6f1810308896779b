// Tables of fields: one row per key of a TOML table defines where its value goes and which values
// are allowed. Reading, hints for misspelt keys, printing, reload and the check of the documents
// all use the rows.
//
//   const std::vector<Field<PoolConfig>> kFields = {
//       {"small", &PoolConfig::small, Number(1024, 1u << 20), "packets of the MTU"},
//   };
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "settings/toml_value.h"

namespace cygnet {

// Converts values of a type from and to a file. Errors describe the problem, not its position.
template <typename M>
struct Codec {
  std::string values;  // the allowed values, for people
  std::function<Status(const TomlValue&, M*)> read;
  std::function<std::optional<TomlValue>(const M&)> show;  // nullopt: omits the key
};

Codec<bool> Flag();
Codec<uint32_t> Number(uint32_t min, uint32_t max);
Codec<uint32_t> NumberOrZero(uint32_t min, uint32_t max);
Codec<std::string> Text();
Codec<std::string> TextNotEmpty();
// A text that passes `wrong`, which returns the problem with it, if any.
Codec<std::string> CheckedText(std::string values,
                               std::function<std::optional<std::string>(const std::string&)> wrong);
// One of the words that `words` returns; the list may be known only when the file is read.
Codec<std::string> WordOf(std::function<std::vector<std::string_view>()> words);
// Distinct words, each from `words`.
Codec<std::vector<std::string>> WordsOf(std::vector<std::string_view> words);
// Distinct texts, each of which passes `wrong`.
Codec<std::vector<std::string>> TextsOf(
    std::string values, std::function<std::optional<std::string>(const std::string&)> wrong);

// A value that may be missing from the file.
template <typename M>
Codec<std::optional<M>> Optional(Codec<M> codec) {
  return {codec.values,
          [read = codec.read](const TomlValue& value, std::optional<M>* out) {
            return read(value, &out->emplace());
          },
          [show = codec.show](const std::optional<M>& value) {
            return value ? show(*value) : std::nullopt;
          }};
}

// The allowed words of a key and their values.
template <typename E>
using NamedValue = std::pair<std::string_view, E>;

template <typename E>
std::string_view NameIn(std::span<const NamedValue<E>> table, E value) {
  for (const auto& [name, candidate] : table) {
    if (candidate == value) return name;
  }
  return "?";
}

// The error for a word that is not in `words`; empty: it is.
std::string WrongWord(const std::string& word, const std::vector<std::string_view>& words);
// "\"a\", \"b\"".
std::string Join(const std::vector<std::string_view>& words);
// "; did you mean \"…\"?", or empty if no word is similar.
std::string Hint(std::string_view word, const std::vector<std::string_view>& words);
Error WrongType(std::string_view wanted, const TomlValue& value);

// REQUIRES: `table` has static lifetime.
template <typename E>
Codec<E> OneOf(std::span<const NamedValue<E>> table) {
  std::vector<std::string_view> words;
  for (const auto& [name, value] : table) words.push_back(name);
  return {Join(words),
          [table, words](const TomlValue& value, E* out) -> Status {
            const auto* text = value.As<std::string>();
            if (text == nullptr) return WrongType("a string", value);
            for (const auto& [name, named] : table) {
              if (name == *text) *out = named;
            }
            const std::string wrong = WrongWord(*text, words);
            return wrong.empty() ? Status() : MakeError(Errc::kInvalid, wrong);
          },
          [table](const E& value) {
            return std::optional(TomlValue(std::string(NameIn(table, value))));
          }};
}

enum class KeyKind : uint8_t {
  kPlain,
  kNeeded,  // the key must be present
  kLive,    // a reload applies it to a running daemon
};

// One key, without its struct's type.
struct FieldInfo {
  std::string_view key;
  std::string values;
  std::string_view help;
  KeyKind kind = KeyKind::kPlain;
};

template <typename T>
struct Field : FieldInfo {
  template <typename M>
  Field(std::string_view name, M T::*member, Codec<M> codec, std::string_view text,
        KeyKind key_kind = KeyKind::kPlain)
      : FieldInfo{name, std::move(codec.values), text, key_kind},
        read([member, read_member = std::move(codec.read)](const TomlValue& value, T* out) {
          return read_member(value, &(out->*member));
        }),
        show([member, show_member = std::move(codec.show)](const T& from) {
          return show_member(from.*member);
        }) {}

  std::function<Status(const TomlValue&, T*)> read;
  std::function<std::optional<TomlValue>(const T&)> show;
};

template <typename T>
std::vector<FieldInfo> InfoOf(const std::vector<Field<T>>& fields) {
  return {fields.begin(), fields.end()};
}

// Checks that every key of `table` is one of `known`. The error for another key names the most
// similar one.
Status CheckKeys(const TomlTable& table, const std::vector<FieldInfo>& known);

// Keys missing from the table leave `out` unchanged. Ignores other keys: see CheckKeys.
template <typename T>
Status ReadFields(const TomlTable& table, const std::vector<Field<T>>& fields, T* out) {
  for (const Field<T>& field : fields) {
    const TomlEntry* entry = table.Find(field.key);
    if (entry == nullptr) {
      if (field.kind == KeyKind::kNeeded) return table.Wrong(field.key, "missing");
      continue;
    }
    const Status status = field.read(entry->value, out);
    if (!status) return table.Wrong(field.key, status.error().message);
  }
  return {};
}

// All keys with their values; ReadFields reads them back.
template <typename T>
void ShowFields(const std::vector<Field<T>>& fields, const T& from, TomlTable* table) {
  for (const Field<T>& field : fields) {
    if (auto value = field.show(from)) table->Add(std::string(field.key), *std::move(value));
  }
}

}  // namespace cygnet
