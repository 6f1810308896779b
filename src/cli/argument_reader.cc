#include "cli/argument_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/suggest.h"

namespace cygnet {
namespace {

bool IsOption(std::string_view word) { return word.size() > 1 && word[0] == '-' && word != "--"; }

bool IsHelp(std::string_view word) { return word == "-h" || word == "--help"; }

// "--json", "-j", and "-json" as iproute2 has it.
bool Names(const Keyword& keyword, std::string_view word) {
  return word == keyword.word || word == keyword.alias ||
         (keyword.word.starts_with("--") && word == keyword.word.substr(1));
}

const OptionRow* FindOption(std::string_view word) {
  const auto options = OptionRows();
  const auto found = std::find_if(options.begin(), options.end(), [word](const OptionRow& row) {
    return Names(row.keyword, word);
  });
  return found == options.end() ? nullptr : &*found;
}

// The objects that have a use for an option.
std::string UsersOf(uint16_t use) {
  std::string text;
  for (const ObjectRow* row : ObjectRows()) {
    const bool uses = std::any_of(row->commands.begin(), row->commands.end(),
                                  [use](const Command& c) { return (c.uses & use) != 0; });
    if (uses) text += fmt::format("{}{}", text.empty() ? "" : ", ", row->word);
  }
  return text;
}

}  // namespace

Arguments ArgumentReader::Read() {
  while (!at_end() && !ended_) {
    if (command_ != nullptr && !command_->rest.empty()) break;
    TakeWord();
  }
  if (!ended_) Finish();
  return out_;
}

void ArgumentReader::TakeWord() {
  const std::string_view word = Peek();
  if (row_ != nullptr && command_ == nullptr && !IsOption(word)) {
    ChooseCommand(word);
    return;
  }
  if (IsOption(word)) {
    TakeOption();
  } else if (row_ == nullptr) {
    row_ = FindObject(word);
    if (row_ == nullptr && !word.empty()) FailUnknownObject(word);
    if (row_ == nullptr) throw UsageError{"no object given; try \"cygnet help\""};
    Take();
    // What follows is another program's.
    const Command& first = row_->commands[0];
    const bool is_other = first.object == Object::kCompanion;
    if (is_other || (!first.rest.empty() && !IsOption(Peek()))) UseDefault();
  } else {
    TakeKeyword();
  }
}

void ArgumentReader::TakeOption() {
  std::string_view name = Take();
  std::optional<std::string_view> inlined;
  if (const std::size_t equals = name.find('='); equals != std::string_view::npos) {
    inlined = name.substr(equals + 1);
    name = name.substr(0, equals);
  }
  const bool is_rest = row_ != nullptr && !row_->commands[0].rest.empty();
  const OptionRow* const option = FindOption(name);
  if (row_ != nullptr && command_ == nullptr && option == nullptr && !is_rest) UseDefault();
  if (command_ != nullptr) {
    const auto index = FindKeyword(name);
    if (index && command_->keywords[*index].IsOption()) return TakeKeywordAt(*index, inlined);
  }
  if (option != nullptr) return TakeGlobal(*option, inlined);
  throw UsageError{
      fmt::format("{}unknown option \"{}\"; {}", row_ == nullptr ? "" : Title() + ": ", name,
                  DidYouMean(name, OptionWords(),
                             fmt::format("try \"cygnet help{}{}\"", row_ == nullptr ? "" : " ",
                                         row_ == nullptr ? "" : row_->word)))};
}

void ArgumentReader::TakeGlobal(const OptionRow& row, std::optional<std::string_view> inlined) {
  given_.set(static_cast<std::size_t>(row.option));
  const Keyword& keyword = row.keyword;
  if (keyword.kind == Kind::kFlag) {
    if (inlined) throw UsageError{fmt::format("{}: takes no value", keyword.word)};
    return Apply(row, true);
  }
  if (!row.value_is_optional) return Apply(row, ReadValue(keyword, TakeValue(keyword, inlined)));
  // "--watch 5", but not "--color never": iproute2's -c has no word behind it.
  const bool is_number = !Peek().empty() && Peek().find_first_not_of("0123456789.") == Peek().npos;
  if (!inlined && row.option == Option::kWatch && is_number) inlined = Take();
  Apply(row, inlined ? ReadValue(keyword, *inlined) : Json());
}

void ArgumentReader::Apply(const OptionRow& row, const Json& value) {
  constexpr double kWatchSeconds = 2;  // as watch(1)
  switch (row.option) {
    case Option::kJson:
      out_.json = true;
      return;
    case Option::kPretty:
      out_.pretty = true;
      return;
    case Option::kBrief:
      out_.brief = true;
      return;
    case Option::kStatistics:
      out_.statistics = true;
      return;
    case Option::kColor:
      out_.color = value.is_null() || value == "always" ? ColorWhen::kAlways
                   : value == "never"                   ? ColorWhen::kNever
                                                        : ColorWhen::kAuto;
      return;
    case Option::kWatch:
      out_.watch = value.is_null() ? kWatchSeconds : value.get<double>();
      return;
    case Option::kSum:
      out_.sum = value.get<std::string>();
      return;
    case Option::kHelp:
      out_.object = Object::kHelp;
      out_.help_for = row_;
      ended_ = true;
      return;
    case Option::kVersion:
      out_.object = Object::kVersion;
      ended_ = true;
      return;
  }
}

// "cygnet OBJECT [COMMAND] help".
bool ArgumentReader::TakeHelp() {
  if (Peek() != "help" || row_->commands[0].object == Object::kHelp) return false;
  Take();
  out_.object = Object::kHelp;
  out_.help_for = row_;
  ended_ = true;
  return true;
}

void ArgumentReader::ChooseCommand(std::string_view word) {
  if (TakeHelp()) return;
  for (const Command& command : row_->commands) {
    const bool named = !word.empty() && !command.word.empty() &&
                       (command.word.starts_with(word) || command.alias.starts_with(word));
    if (!named) continue;
    Take();
    named_command_ = true;
    return Use(command);
  }
  UseDefault();
}

void ArgumentReader::UseDefault() {
  for (const Command& command : row_->commands) {
    if (command.is_default || command.word.empty()) return Use(command);
  }
  if (at_end()) {
    std::vector<std::string_view> words = Words();
    throw UsageError{fmt::format("{}: a command is missing: {}", row_->word, OneOfText(words))};
  }
  FailUnknown(Peek());
}

void ArgumentReader::Use(const Command& command) {
  command_ = &command;
  out_.command = command_;
  out_.object = command.object;
  if (command.request == nullptr) return;
  out_.request = {{"command", command.request}};
  if (command.action != nullptr) out_.request["action"] = command.action;
}

std::string_view ArgumentReader::TakeValue(const Keyword& keyword,
                                           std::optional<std::string_view> inlined) {
  if (inlined) return *inlined;
  if (at_end()) {
    pending_ = &keyword;
    throw UsageError{fmt::format("\"{}\" needs a value: {}", keyword.word, keyword.value)};
  }
  return Take();
}

void ArgumentReader::TakeKeyword() {
  const std::string_view word = Peek();
  if (!took_keyword_ && TakeHelp()) return;
  auto index = FindKeyword(word);
  if (index) {
    Take();
    return TakeKeywordAt(*index, std::nullopt);
  }
  index = FindBare();
  if (!index || word.empty()) FailUnknown(word);
  TakeKeywordAt(*index, Take());
}

void ArgumentReader::TakeKeywordAt(std::size_t index, std::optional<std::string_view> inlined) {
  const Keyword& keyword = command_->keywords[index];
  took_keyword_ = true;
  Json& target = keyword.Has(kLocal) ? out_.local : out_.request;
  if (target.contains(keyword.field) && !keyword.Has(kRepeats)) {
    throw UsageError{
        fmt::format("\"{}\" is given twice", keyword.word.empty() ? keyword.value : keyword.word)};
  }
  if (keyword.kind == Kind::kFlag && inlined) {
    throw UsageError{fmt::format("{}: takes no value", keyword.word)};
  }
  std::string_view text;
  if (keyword.kind != Kind::kFlag) text = TakeValue(keyword, inlined);
  if (!inlined && IsHelp(text)) {
    --at_;
    return TakeOption();
  }
  Store(keyword, ReadValue(keyword, text));
  used_.set(index);
  if (keyword.kind == Kind::kAlgorithm) TakeNumbers(keyword, &target);
}

// NAME [KEYBITS [ICVBITS]], like NAME KEY ICV of `ip xfrm`.
void ArgumentReader::TakeNumbers(const Keyword& keyword, Json* target) {
  constexpr uint64_t kMaxBits = 4096;
  for (const char* const field : keyword.numbers) {
    if (field == nullptr || !IsDecimal(Peek())) return;
    if (target->contains(field)) throw UsageError{fmt::format("\"{}\" is given twice", field)};
    Keyword bits = keyword;
    bits.kind = Kind::kNumber;
    bits.min = 1;
    bits.max = kMaxBits;
    (*target)[field] = ReadValue(bits, Take());
  }
}

void ArgumentReader::Store(const Keyword& keyword, Json value) {
  Json& field = (keyword.Has(kLocal) ? out_.local : out_.request)[keyword.field];
  if (!keyword.Has(kRepeats)) {
    field = std::move(value);
  } else if (!keyword.Has(kJoined)) {
    field.push_back(std::move(value));
  } else {
    const std::string before = field.is_null() ? "" : field.get<std::string>() + " ";
    field = before + value.get<std::string>();
  }
}

void ArgumentReader::Finish() {
  read_all_ = true;
  if (row_ == nullptr) throw UsageError{"no object given; try \"cygnet help\""};
  if (command_ == nullptr) UseDefault();
  if (!command_->rest.empty()) {
    if (Peek() == "--" && command_->object != Object::kCompanion) Take();
    out_.rest_at = at_;
    if (at_end() && command_->object == Object::kExec) {
      throw UsageError{"exec: no command given; usage: cygnet exec -- COMMAND ..."};
    }
  }
  CheckOptions();
  CheckRequired();
  if (command_->check != nullptr) command_->check(&out_);
}

void ArgumentReader::CheckOptions() const {
  for (const OptionRow& row : OptionRows()) {
    if (!given_.test(static_cast<std::size_t>(row.option)) || row.use == 0) continue;
    if ((command_->uses & row.use) != 0) continue;
    // Only "always" asks for colours where there are none.
    if (row.option == Option::kColor && out_.color != ColorWhen::kAlways) continue;
    throw UsageError{fmt::format("{}: has no use for {}; it is for {}", Title(), row.keyword.word,
                                 UsersOf(row.use))};
  }
  const auto refuse = [](bool both, const char* text) {
    if (both) throw UsageError{text};
  };
  refuse(out_.pretty && !out_.json, "--pretty is for JSON: give -j, too");
  refuse(out_.pretty && out_.watch, "--pretty: with --watch each JSON document is one line");
  refuse(out_.json && out_.brief, "--brief is for text: JSON always has every field");
  refuse(out_.json && out_.color == ColorWhen::kAlways, "--color is for text: JSON has no colours");
  refuse(!out_.sum.empty() && (out_.brief || out_.statistics),
         "--sum is brief already: leave -br and -s out");
}

void ArgumentReader::CheckRequired() const {
  for (std::size_t i = 0; i < command_->keywords.size(); ++i) {
    const Keyword& keyword = command_->keywords[i];
    if (!keyword.Has(kMandatory) || used_.test(i)) continue;
    Keyword plain = keyword;  // without "[…]"
    plain.traits = kMandatory;
    throw UsageError{fmt::format("{}: \"{}\" is missing", Title(), FormOf(plain))};
  }
}

std::optional<std::size_t> ArgumentReader::FindKeyword(std::string_view word) const {
  if (word.empty()) return std::nullopt;
  for (std::size_t i = 0; i < command_->keywords.size(); ++i) {
    const Keyword& keyword = command_->keywords[i];
    if (keyword.word.empty()) continue;
    if (keyword.word == word || (!keyword.alias.empty() && keyword.alias == word)) return i;
  }
  return std::nullopt;
}

// The keyword whose value stands alone; one that is still free comes first.
std::optional<std::size_t> ArgumentReader::FindBare() const {
  std::optional<std::size_t> bare;
  for (std::size_t i = 0; i < command_->keywords.size(); ++i) {
    const Keyword& keyword = command_->keywords[i];
    if (!keyword.word.empty() && !keyword.Has(kBare)) continue;
    if (!used_.test(i) || keyword.Has(kRepeats)) return i;
    if (!keyword.word.empty()) bare = i;
  }
  return bare;
}

}  // namespace cygnet
