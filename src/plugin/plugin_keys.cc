#include "plugin/plugin_keys.h"

namespace cygnet {
namespace {

std::optional<std::string> WrongPath(const std::string& path) {
  if (!path.empty() && path[0] == '/') return std::nullopt;
  return "not an absolute path";
}

}  // namespace

Codec<std::string> LibraryPath() { return CheckedText("absolute path", WrongPath); }

Codec<std::string> LibraryPathOrNone() {
  return CheckedText("absolute path", [](const std::string& path) {
    return path.empty() ? std::nullopt : WrongPath(path);
  });
}

Codec<std::vector<std::string>> KeyValues() {
  using Words = std::vector<std::string>;
  return {"an array of \"key=value\"",
          [](const TomlValue& value, Words* out) -> Status {
            const auto* array = value.As<TomlValue::Array>();
            if (array == nullptr) return WrongType("an array", value);
            out->clear();
            for (const TomlValue& element : *array) {
              const auto* word = element.As<std::string>();
              if (word == nullptr) return WrongType("an array of strings", value);
              out->push_back(*word);
            }
            return {};
          },
          [](const Words& words) {
            TomlValue::Array array;
            for (const std::string& word : words) array.push_back(TomlValue(word));
            return std::optional(TomlValue(std::move(array)));
          }};
}

}  // namespace cygnet
