// The grammar against what is made of it: help, examples, the manual page.
#include "cli/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "cli/arguments.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::vector<std::string> WordsOf(std::string_view line) {
  std::string plain(line);
  std::erase(plain, '\'');  // for the shell
  std::istringstream stream{plain};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

Result<Arguments> Parse(std::string_view line) {
  const std::vector<std::string> words = WordsOf(line);
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  return ParseArguments(pointers);
}

// Without scdoc's marks, in one line.
std::string ManPage(const std::string& name) {
  std::ifstream file(std::string(CYGNET_MAN_FOLDER) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  std::string plain = std::regex_replace(text.str(), std::regex(R"([*\\])"), "");
  plain = std::regex_replace(plain, std::regex(R"((^|[^A-Za-z0-9])_([^_\s][^_]*)_)"), "$1$2");
  return std::regex_replace(plain, std::regex(R"(\s+)"), " ");
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

TEST(GrammarTest, EveryExampleIsRight) {
  for (const ObjectRow* row : ObjectRows()) {
    for (const std::string_view example : row->examples) {
      const auto arguments = Parse(example);
      ASSERT_TRUE(arguments) << example << ": " << arguments.error().message;
      EXPECT_NE(arguments->object, Object::kHelp) << example;
    }
  }
}

// A long list of values is broken behind a `|`.
std::string WithoutBreaks(std::string text) {
  for (std::size_t at = 0; (at = text.find("|\n", at)) != std::string::npos;) {
    text.erase(at + 1, text.find_first_not_of(" \n", at + 1) - at - 1);
  }
  return text;
}

TEST(GrammarTest, HelpFitsEightyColumnsAndNamesEveryWord) {
  std::vector<const ObjectRow*> rows(ObjectRows().begin(), ObjectRows().end());
  rows.push_back(nullptr);
  for (const ObjectRow* row : rows) {
    std::istringstream lines(HelpText(row));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  }
  for (const ObjectRow* row : ObjectRows()) {
    if (!row->is_hidden) {
      EXPECT_THAT(HelpText(), HasSubstr("\n  " + std::string(row->word) + " "));
    }
    for (const Command& command : row->commands) {
      EXPECT_THAT(HelpText(row), HasSubstr(std::string(command.word)));
      for (const Keyword& keyword : command.keywords) {
        EXPECT_THAT(HelpText(row), HasSubstr(std::string(keyword.word)));
        EXPECT_THAT(WithoutBreaks(HelpText(row)), HasSubstr(std::string(keyword.value)));
      }
    }
  }
  EXPECT_THAT(HelpText(), Not(HasSubstr("complete")));
}

TEST(GrammarTest, HelpOfAnObjectHasItsSynopsisOptionsAndExamples) {
  const std::string text = HelpText(FindObject("offload"));
  EXPECT_THAT(text, StartsWith("offload: "));
  EXPECT_THAT(text, HasSubstr("\ncygnet offload disable [dev] NAME\n"));
  EXPECT_THAT(text, HasSubstr("-j, --json"));
  EXPECT_THAT(text, Not(HasSubstr("--sum")));
  EXPECT_THAT(text, HasSubstr("\nExamples:\n  cygnet offload list\n"));
}

// The first object that a word begins; scripts have these.
TEST(GrammarTest, ShortNamesStayWhatTheyWere) {
  const std::pair<const char*, const char*> kShort[] = {
      {"s", "sa"},      {"p", "policy"},   {"d", "dev"},        {"st", "stat"},    {"c", "capture"},
      {"e", "exec"},    {"en", "engine"},  {"m", "mtu"},        {"f", "fips"},     {"do", "doctor"},
      {"l", "ledger"},  {"o", "offload"},  {"pl", "placement"}, {"me", "metrics"}, {"si", "sim"},
      {"r", "reload"},  {"sto", "stored"}, {"cl", "cluster"},   {"ext", "extcap"}, {"t", "tunnel"},
      {"v", "version"}, {"h", "help"}};
  for (const auto& [word, object] : kShort) {
    ASSERT_NE(FindObject(word), nullptr) << word;
    EXPECT_EQ(FindObject(word)->word, object);
  }
  EXPECT_EQ(FindObject("we"), nullptr) << "web cannot be shortened";
  EXPECT_EQ(FindObject("comple"), nullptr);
}

TEST(GrammarTest, WordsAreUnique) {
  std::set<std::string_view> objects;
  for (const ObjectRow* row : ObjectRows()) {
    EXPECT_TRUE(objects.insert(row->word).second) << row->word;
    EXPECT_FALSE(row->commands.empty()) << row->word;
    std::size_t defaults = 0;
    for (const Command& command : row->commands) {
      defaults += command.is_default || command.word.empty() ? 1u : 0u;
      EXPECT_LT(command.keywords.size(), 64u) << row->word;
      std::set<std::string_view> words;
      for (const Keyword& keyword : command.keywords) {
        EXPECT_TRUE(keyword.word.empty() || words.insert(keyword.word).second) << keyword.word;
        EXPECT_STRNE(keyword.field, "") << row->word << " " << keyword.word;
        EXPECT_EQ(keyword.kind == Kind::kFlag, keyword.value.empty()) << keyword.word;
      }
    }
    EXPECT_LE(defaults, 1u) << row->word;
  }
}

TEST(GrammarTest, TheManualPageHasEverySynopsis) {
  const std::string page = ManPage("cygnet.8.scd");
  for (const ObjectRow* row : ObjectRows()) {
    if (row->is_hidden || row->word == "extcap") continue;  // Wireshark's options are its own
    for (const Command& command : row->commands) {
      EXPECT_THAT(page, HasSubstr(" " + Joined(SynopsisOf(*row, command)) + " "));
    }
  }
  for (const OptionRow& option : OptionRows()) {
    EXPECT_THAT(page, HasSubstr(std::string(option.keyword.word)));
    EXPECT_THAT(page, HasSubstr(std::string(option.keyword.alias)));
  }
}

}  // namespace
}  // namespace cygnet
