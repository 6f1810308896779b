// What could stand where a command line ends or goes wrong: for completion and suggestions.
#include <fmt/format.h>

#include "cli/argument_reader.h"
#include "cli/suggest.h"

namespace cygnet {

// Words that could stand next, without options and values.
std::vector<std::string_view> ArgumentReader::Words() const {
  std::vector<std::string_view> words;
  if (row_ == nullptr) return words;
  const bool may_choose = !named_command_ && !took_keyword_;
  for (const Command& command : row_->commands) {
    if (may_choose && !command.word.empty()) words.push_back(command.word);
  }
  if (command_ == nullptr) return words;
  for (const Keyword& keyword : command_->keywords) {
    if (keyword.word.empty() || keyword.IsOption()) continue;
    const bool is_used = (keyword.Has(kLocal) ? out_.local : out_.request).contains(keyword.field);
    if (!is_used || keyword.Has(kRepeats)) words.push_back(keyword.word);
  }
  return words;
}

std::vector<std::string_view> ArgumentReader::OptionWords() const {
  std::vector<std::string_view> words;
  const Command* const command = command_ != nullptr ? command_
                                 : row_ != nullptr   ? &row_->commands[0]
                                                     : nullptr;
  if (command != nullptr) {
    for (const Keyword& keyword : command->keywords) {
      if (keyword.IsOption()) words.push_back(keyword.word);
    }
  }
  for (const OptionRow& row : OptionRows()) {
    if (row.use == 0 || command == nullptr || (command->uses & row.use) != 0) {
      words.push_back(row.keyword.word);
    }
  }
  return words;
}

std::string ArgumentReader::Title() const {
  return command_ == nullptr ? std::string(row_->word) : TitleOf(*row_, *command_);
}

void ArgumentReader::FailUnknown(std::string_view word) const {
  const std::vector<std::string_view> words = Words();
  const std::string allowed = words.empty() ? fmt::format("try \"cygnet help {}\"", row_->word)
                                            : fmt::format("must be {}", OneOfText(words));
  throw UsageError{fmt::format("{}: unknown {} \"{}\"; {}", Title(),
                               command_ == nullptr ? "command" : "keyword", word,
                               DidYouMean(word, words, allowed))};
}

Expectation ArgumentReader::Expected() const {
  Expectation expected{.row = row_};
  if (ended_) return expected;
  if (pending_ != nullptr) {
    expected.value = pending_;
    return expected;
  }
  if (row_ == nullptr) {
    for (const ObjectRow* row : ObjectRows()) {
      if (!row->is_hidden) expected.words.push_back(row->word);
    }
  } else if (command_ != nullptr && !command_->rest.empty()) {
    expected.is_program = true;
    expected.rest_at = out_.rest_at;
    return expected;
  }
  for (const std::string_view word : Words()) expected.words.push_back(word);
  for (const std::string_view word : OptionWords()) expected.words.push_back(word);
  const auto bare = command_ == nullptr ? std::nullopt : FindBare();
  if (bare && (!used_.test(*bare) || command_->keywords[*bare].Has(kRepeats))) {
    expected.value = &command_->keywords[*bare];
  }
  return expected;
}

}  // namespace cygnet
