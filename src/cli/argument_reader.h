// Reads one command line by the grammar. Used by arguments.cc.
#pragma once

#include <bitset>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/argument_values.h"
#include "cli/arguments.h"

namespace cygnet {

class ArgumentReader {
 public:
  explicit ArgumentReader(std::span<const char* const> words) : words_(words) {}

  // Throws UsageError. REQUIRES: called once.
  Arguments Read();
  // After Read, also if it threw: no word is wrong, but some may be missing.
  bool is_right_so_far() const { return read_all_ || pending_ != nullptr; }
  // REQUIRES: is_right_so_far
  Expectation Expected() const;

 private:
  bool at_end() const { return at_ >= words_.size(); }
  std::string_view Peek() const { return at_end() ? std::string_view() : words_[at_]; }
  std::string_view Take() { return words_[at_++]; }
  std::string_view TakeValue(const Keyword& keyword, std::optional<std::string_view> inlined);

  void TakeWord();
  void TakeOption();
  void TakeGlobal(const OptionRow& row, std::optional<std::string_view> inlined);
  void Apply(const OptionRow& row, const Json& value);
  bool TakeHelp();
  void ChooseCommand(std::string_view word);
  void Use(const Command& command);
  void UseDefault();
  void TakeKeyword();
  void TakeKeywordAt(std::size_t index, std::optional<std::string_view> inlined);
  void TakeNumbers(const Keyword& keyword, Json* target);
  void Store(const Keyword& keyword, Json value);
  void Finish();
  void CheckOptions() const;
  void CheckRequired() const;

  std::optional<std::size_t> FindKeyword(std::string_view word) const;
  std::optional<std::size_t> FindBare() const;
  std::vector<std::string_view> Words() const;
  std::vector<std::string_view> OptionWords() const;
  std::string Title() const;
  [[noreturn]] void FailUnknown(std::string_view word) const;

  const std::span<const char* const> words_;
  std::size_t at_ = 0;
  const ObjectRow* row_ = nullptr;
  const Command* command_ = nullptr;
  bool named_command_ = false;
  bool took_keyword_ = false;
  bool read_all_ = false;
  bool ended_ = false;                // help or version: the other words do not matter
  std::bitset<64> used_;              // keywords of the command
  std::bitset<16> given_;             // options, by Option
  const Keyword* pending_ = nullptr;  // its value is missing
  Arguments out_;
};

}  // namespace cygnet
