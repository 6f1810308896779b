// The command line: cygnet [OPTION ...] OBJECT [COMMAND] [KEYWORD VALUE ...], in the style of
// iproute2. Options may also stand behind. grammar.h has the words.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/grammar.h"

namespace cygnet {

enum class ColorWhen : uint8_t { kAuto, kAlways, kNever };

struct Arguments {
  Object object = Object::kHelp;
  const Command* command = nullptr;  // nullptr: help or version by an option
  Json request;                      // to the daemon; null if it is not asked
  Json local = Json::object();       // values of keywords that are not for the daemon
  bool json = false;
  bool pretty = false;
  bool brief = false;
  bool statistics = false;
  ColorWhen color = ColorWhen::kAuto;
  std::optional<double> watch{};        // seconds
  std::string sum{};                    // "peer", "device", "reason"; empty: the entries
  std::size_t rest_at = 0;              // index of the first word that is not ours
  const ObjectRow* help_for = nullptr;  // nullptr: all of them

  bool HasLocal(const char* field) const { return local.contains(field); }
  // capture, extcap: "-" = standard output.
  std::string WriteFile() const { return local.value("write", std::string("-")); }
};

// `words`: the arguments of main without the program name. Error messages are for the operator.
Result<Arguments> ParseArguments(std::span<const char* const> words);

// What may stand behind `words`.
struct Expectation {
  const Keyword* value = nullptr;         // a value of this keyword
  std::vector<std::string_view> words{};  // or one of these
  bool is_program = false;                // or words that are not ours:
  std::size_t rest_at = 0;                // they begin at this one
  const ObjectRow* row = nullptr;         // the object, if it is known
};
// Nothing: the words are wrong.
Expectation ExpectedAfter(std::span<const char* const> words);

// The help of one object, or of all of them if `row` is nullptr; at most 80 columns. In
// help_text.cc.
std::string HelpText(const ObjectRow* row = nullptr);

}  // namespace cygnet
