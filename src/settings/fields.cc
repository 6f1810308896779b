#include "settings/fields.h"

#include <fmt/format.h>

#include <algorithm>

namespace cygnet {
namespace {

Error Invalid(std::string text) { return MakeError(Errc::kInvalid, std::move(text)); }

// The Levenshtein distance: letters to change, insert or remove.
std::size_t EditDistance(std::string_view a, std::string_view b) {
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

std::optional<TomlValue> ShowNumber(const uint32_t& number) { return TomlValue(int64_t{number}); }

Status ReadNumber(const TomlValue& value, uint32_t min, uint32_t max, const char* zero,
                  uint32_t* out) {
  const auto* number = value.As<int64_t>();
  if (number == nullptr) return WrongType("an integer", value);
  const bool is_zero = *zero != '\0' && *number == 0;
  if (!is_zero && (*number < min || *number > max)) {
    return Invalid(fmt::format("must be {}between {} and {}, is {}", zero, min, max, *number));
  }
  *out = static_cast<uint32_t>(*number);
  return {};
}

}  // namespace

std::string Join(const std::vector<std::string_view>& words) {
  std::string text;
  for (const std::string_view word : words) {
    text += fmt::format("{}\"{}\"", text.empty() ? "" : ", ", word);
  }
  return text;
}

std::string Hint(std::string_view word, const std::vector<std::string_view>& words) {
  constexpr std::size_t kNear = 2;
  if (word.size() > 40) return {};
  for (const std::string_view candidate : words) {
    // Any two short words are similar, so the limit depends on the length.
    if (EditDistance(word, candidate) <= std::min(kNear, candidate.size() / 2)) {
      return fmt::format("; did you mean \"{}\"?", candidate);
    }
  }
  return {};
}

std::string WrongWord(const std::string& word, const std::vector<std::string_view>& words) {
  if (std::find(words.begin(), words.end(), word) != words.end()) return {};
  return fmt::format("must be one of {}, is \"{}\"{}", Join(words), word, Hint(word, words));
}

Error WrongType(std::string_view wanted, const TomlValue& value) {
  return Invalid(fmt::format("must be {}, is {}", wanted, value.TypeName()));
}

Codec<bool> Flag() {
  return {"true, false",
          [](const TomlValue& value, bool* out) -> Status {
            const auto* flag = value.As<bool>();
            if (flag == nullptr) return WrongType("true or false", value);
            *out = *flag;
            return {};
          },
          [](const bool& value) { return std::optional(TomlValue(value)); }};
}

Codec<uint32_t> Number(uint32_t min, uint32_t max) {
  return {fmt::format("{} to {}", min, max),
          [min, max](const TomlValue& value, uint32_t* out) {
            return ReadNumber(value, min, max, "", out);
          },
          ShowNumber};
}

Codec<uint32_t> NumberOrZero(uint32_t min, uint32_t max) {
  return {fmt::format("0, {} to {}", min, max),
          [min, max](const TomlValue& value, uint32_t* out) {
            return ReadNumber(value, min, max, "0 or ", out);
          },
          ShowNumber};
}

Codec<std::string> CheckedText(
    std::string values, std::function<std::optional<std::string>(const std::string&)> wrong) {
  return {std::move(values),
          [wrong = std::move(wrong)](const TomlValue& value, std::string* out) -> Status {
            const auto* text = value.As<std::string>();
            if (text == nullptr) return WrongType("a string", value);
            if (auto why = wrong(*text)) return Invalid(*std::move(why));
            *out = *text;
            return {};
          },
          [](const std::string& value) { return std::optional(TomlValue(value)); }};
}

Codec<std::string> Text() {
  return CheckedText("text", [](const std::string&) { return std::nullopt; });
}

Codec<std::string> TextNotEmpty() {
  return CheckedText("text", [](const std::string& text) {
    return text.empty() ? std::optional<std::string>("must not be empty") : std::nullopt;
  });
}

Codec<std::string> WordOf(std::function<std::vector<std::string_view>()> words) {
  std::string values = Join(words());
  return CheckedText(std::move(values), [words = std::move(words)](const std::string& text) {
    std::string wrong = WrongWord(text, words());
    return wrong.empty() ? std::nullopt : std::optional(std::move(wrong));
  });
}

Codec<std::vector<std::string>> WordsOf(std::vector<std::string_view> words) {
  return TextsOf("an array of " + Join(words), [words](const std::string& word) {
    const std::string wrong = WrongWord(word, words);
    return wrong.empty() ? std::nullopt : std::optional(wrong);
  });
}

Codec<std::vector<std::string>> TextsOf(
    std::string values, std::function<std::optional<std::string>(const std::string&)> check) {
  using Words = std::vector<std::string>;
  return {std::move(values),
          [check](const TomlValue& value, Words* out) -> Status {
            const auto* array = value.As<TomlValue::Array>();
            if (array == nullptr) return WrongType("an array", value);
            out->clear();
            for (const TomlValue& element : *array) {
              const auto* word = element.As<std::string>();
              if (word == nullptr) {
                return Invalid(fmt::format("must hold strings, holds {}", element.TypeName()));
              }
              if (auto wrong = check(*word)) return Invalid(*std::move(wrong));
              if (std::find(out->begin(), out->end(), *word) != out->end()) {
                return Invalid(fmt::format("\"{}\" is given twice", *word));
              }
              out->push_back(*word);
            }
            return {};
          },
          [](const Words& value) {
            TomlValue::Array array;
            for (const std::string& word : value) array.push_back(TomlValue(word));
            return std::optional(TomlValue(std::move(array)));
          }};
}

Status CheckKeys(const TomlTable& table, const std::vector<FieldInfo>& known) {
  std::vector<std::string_view> keys;
  for (const FieldInfo& field : known) keys.push_back(field.key);
  for (const TomlEntry& entry : table.entries) {
    if (std::find(keys.begin(), keys.end(), entry.key) != keys.end()) continue;
    const bool is_table =
        entry.value.As<TomlTable>() != nullptr || entry.value.As<TomlValue::Tables>() != nullptr;
    return table.Wrong(
        entry.key, fmt::format("unknown {}{}", is_table ? "table" : "key", Hint(entry.key, keys)));
  }
  return {};
}

}  // namespace cygnet
