// What "cygnet help" and "cygnet OBJECT help" print, from the grammar.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "cli/arguments.h"

namespace cygnet {
namespace {

constexpr std::size_t kColumns = 80;

constexpr std::string_view kUsage =
    "Usage: cygnet [OPTION ...] OBJECT [COMMAND] [KEYWORD VALUE ...]\n"
    "       cygnet help OBJECT\n";

constexpr std::string_view kNotes = R"(
OBJECT and COMMAND may be shortened. Options may also stand behind them.

Exit status: 0 success, 1 wrong usage, 2 failure, 3 the answer is no (offload
explain, doctor, stored, cluster, ledger verify, ledger report). exec returns
the status of its command, or 125 to 127.
)";

std::vector<std::string> Split(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

// Breaks a list of values ("sa|policy|...") that fits no line behind the last `|` that does.
void BreakValues(std::string* text, std::string* line, std::size_t indent) {
  while (line->size() > kColumns) {
    const std::size_t end = line->rfind('|', kColumns - 1);
    if (end == std::string::npos || end < indent) return;
    *text += line->substr(0, end + 1) + "\n";
    *line = std::string(indent, ' ') + line->substr(end + 1);
  }
}

// `first`, then the words, in lines of kColumns; the other lines begin with `indent` spaces.
std::string Fill(std::string first, const std::vector<std::string>& words, std::size_t indent) {
  std::string text;
  std::string line = std::move(first);
  bool is_begun = false;
  for (const std::string& word : words) {
    if (is_begun && line.size() + 1 + word.size() > kColumns) {
      text += line + "\n";
      line = std::string(indent, ' ');
      is_begun = false;
    }
    line += (is_begun ? " " : "") + word;
    is_begun = true;
    BreakValues(&text, &line, indent);
  }
  return text + line + "\n";
}

// Two columns: "  spi SPI      SAs with this SPI".
std::string Entry(const std::string& left, std::string_view right) {
  constexpr std::size_t kLeft = 26;
  std::string first = fmt::format("  {:<{}}", left, kLeft - 4);
  if (first.size() > kLeft - 2)
    return Fill("  ", {left}, 4) + Fill(std::string(kLeft, ' '), Split(right), kLeft);
  return Fill(first + "  ", Split(right), kLeft);
}

std::string FormOfOption(const OptionRow& row) {
  const Keyword& keyword = row.keyword;
  std::string form(keyword.alias);
  form += fmt::format("{}{}", form.empty() ? "" : ", ", keyword.word);
  if (keyword.value.empty()) return form;
  if (row.option == Option::kColor) return form + "[=WHEN]";
  return form + (row.value_is_optional ? fmt::format(" [{}]", keyword.value)
                                       : fmt::format(" {}", keyword.value));
}

std::string OptionLines(uint16_t uses, bool all) {
  std::string text;
  for (const OptionRow& row : OptionRows()) {
    if (!all && (row.use & uses) == 0) continue;
    text += Entry(FormOfOption(row), row.keyword.help);
  }
  return text;
}

std::string KeywordLines(const Command& command) {
  std::string text;
  for (const Keyword& keyword : command.keywords) {
    if (keyword.help.empty()) continue;
    Keyword plain = keyword;  // the synopsis has the brackets
    plain.traits = kMandatory;
    const std::string alias = keyword.alias.empty() ? "" : std::string(keyword.alias) + ", ";
    text += Entry(alias + FormOf(plain), keyword.help);
  }
  return text;
}

std::string CommandText(const ObjectRow& row, const Command& command) {
  constexpr std::size_t kIndent = 4;
  constexpr std::size_t kHanging = 9;
  const std::string keywords = KeywordLines(command);
  return "\n" + Fill("cygnet ", SynopsisOf(row, command), kHanging) +
         Fill(std::string(kIndent, ' '), Split(command.help), kIndent) +
         (keywords.empty() ? "" : "\n" + keywords);
}

std::string ObjectText(const ObjectRow& row) {
  std::string text = fmt::format("{}: {}\n", row.word, row.help);
  uint16_t uses = 0;
  for (const Command& command : row.commands) {
    text += CommandText(row, command);
    uses = static_cast<uint16_t>(uses | command.uses);
  }
  if (uses != 0) text += "\nOptions:\n" + OptionLines(uses, /*all=*/false);
  if (!row.examples.empty()) text += "\nExamples:\n";
  for (const std::string_view example : row.examples) text += fmt::format("  cygnet {}\n", example);
  return text;
}

}  // namespace

std::string HelpText(const ObjectRow* row) {
  if (row != nullptr) return ObjectText(*row);
  std::string text(kUsage);
  text += "\nObjects:\n";
  for (const ObjectRow* object : ObjectRows()) {
    if (!object->is_hidden) text += fmt::format("  {:<13}{}\n", object->word, object->help);
  }
  return text + "\nOptions:\n" + OptionLines(0, /*all=*/true) + std::string(kNotes);
}

}  // namespace cygnet
