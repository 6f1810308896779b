#include "cli/complete.h"

#include <fmt/format.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cli/argument_values.h"
#include "cli/arguments.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

// More are of no use to anybody, and 10,000 SAs take the daemon's time.
constexpr std::size_t kMostWords = 500;

// Words of a shell; a name with spaces or control characters cannot be one.
class WordPrinter {
 public:
  WordPrinter(std::string_view begun, std::string_view before, FILE* out)
      : begun_(begun), before_(before), out_(out) {}

  void Print(std::string_view word) {
    const bool plain =
        !word.empty() && std::all_of(word.begin(), word.end(), [](char c) { return c > ' '; });
    if (!plain || !word.starts_with(begun_) || said_.size() >= kMostWords) return;
    if (!said_.emplace(word).second) return;
    fmt::print(out_, "{}{}\n", before_, word);
  }
  void PrintEach(const std::vector<std::string_view>& words) {
    for (const std::string_view word : words) Print(word);
  }

 private:
  const std::string_view begun_;   // what the user has typed
  const std::string_view before_;  // "--sum=", if it is a part of the same word
  FILE* const out_;
  std::set<std::string, std::less<>> said_;
};

class DaemonWords {
 public:
  DaemonWords(OperatorClient* client, WordPrinter* printer)
      : client_(*client), printer_(*printer) {}

  // Each text field of each item. An error ends the list: completion has nothing to say of it.
  void Print(const Json& request, std::initializer_list<const char*> fields) {
    (void)client_.ForEachItem(request, [&](const Json& item) {
      for (const char* field : fields) printer_.Print(Word(item, field));
    });
  }
  // Each element of an array of each item: a text, or an object with a name.
  void PrintArrays(const Json& request, const char* array) {
    (void)client_.ForEachItem(request, [&](const Json& item) {
      for (const Json& element : Child(item, array)) {
        printer_.Print(element.is_string() ? element.get<std::string>() : Word(element, "name"));
      }
    });
  }

 private:
  OperatorClient& client_;
  WordPrinter& printer_;
};

void PrintNames(const Expectation& expected, const OperatorConnector& connect,
                WordPrinter* printer) {
  auto client = connect();
  if (!client) return;
  DaemonWords words(&*client, printer);
  switch (expected.value->kind) {
    case Kind::kDevice:
      return words.Print({{"command", "dev"}}, {"name"});
    case Kind::kSwitchable:
    case Kind::kHolder:
      words.Print({{"command", "dev"}}, {"name"});
      return words.Print({{"command", "engine"}}, {"name"});
    case Kind::kSpi:
      return words.Print({{"command", "sa"}}, {"spi"});
    case Kind::kAddress:
      return words.Print({{"command", "sa"}}, {expected.value->field});
    case Kind::kAlgorithm:
      return words.PrintArrays({{"command", "engine"}}, "algorithms");
    case Kind::kGroup:
      return words.PrintArrays({{"command", "cluster"}}, "groups");
    case Kind::kNode:
      return words.PrintArrays({{"command", "cluster"}}, "peers");
    default:
      return;
  }
}

void PrintValues(const Expectation& expected, const OperatorConnector& connect,
                 WordPrinter* printer, FILE* out) {
  const Keyword& keyword = *expected.value;
  if (keyword.kind == Kind::kOneOf) return printer->PrintEach(ChoicesOf(keyword));
  if (keyword.kind == Kind::kFile) {
    fmt::print(out, "/\n");
    return;
  }
  if (keyword.kind == Kind::kText && expected.row != nullptr && expected.row->word == "help") {
    for (const ObjectRow* row : ObjectRows()) {
      if (!row->is_hidden) printer->Print(row->word);
    }
    return;
  }
  PrintNames(expected, connect, printer);
}

// The keyword of "--sum=pe".
const Keyword* InlineKeyword(const Expectation& expected, std::string_view name) {
  for (const OptionRow& row : OptionRows()) {
    if (row.keyword.word == name || row.keyword.alias == name) return &row.keyword;
  }
  if (expected.row == nullptr) return nullptr;
  for (const Command& command : expected.row->commands) {
    for (const Keyword& keyword : command.keywords) {
      if (keyword.word == name) return &keyword;
    }
  }
  return nullptr;
}

}  // namespace

void EndSoon() {
  struct sigaction action {};
  action.sa_handler = [](int) { _exit(0); };
  sigaction(SIGALRM, &action, nullptr);
  const itimerval timer{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 700'000}};
  setitimer(ITIMER_REAL, &timer, nullptr);
}

void PrintCompletions(std::span<const char* const> words, const OperatorConnector& connect,
                      FILE* out) {
  if (words.empty()) return;
  std::string_view last = words.back();
  Expectation expected = ExpectedAfter(words.first(words.size() - 1));
  if (expected.is_program) {
    fmt::print(out, "!{}\n", expected.rest_at);
    return;
  }
  std::string_view before;
  if (const std::size_t equals = last.find('=');
      last.starts_with('-') && equals != std::string_view::npos) {
    expected.value = InlineKeyword(expected, last.substr(0, equals));
    expected.words.clear();
    before = last.substr(0, equals + 1);
    last.remove_prefix(equals + 1);
  }
  WordPrinter printer(last, before, out);
  for (const std::string_view word : expected.words) {
    // Options when they are asked for, as other commands do it.
    if (word.starts_with('-') == last.starts_with('-')) printer.Print(word);
  }
  fflush(out);
  if (expected.value == nullptr || (before.empty() && last.starts_with('-'))) return;
  PrintValues(expected, connect, &printer, out);
  fflush(out);
}

}  // namespace cygnet
