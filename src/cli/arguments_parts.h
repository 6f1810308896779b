// Shared by the parsers of the command line. Used by arguments*.cc only.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "cli/arguments.h"

namespace cygnet {

inline constexpr uint32_t kMaxNumber = ~uint32_t{0};

// Thrown by the parsers, caught by ParseArguments.
struct UsageError {
  std::string text;
};

class Words {
 public:
  explicit Words(std::span<const char* const> words) : words_(words) {}

  bool done() const { return at_ == words_.size(); }
  std::size_t at() const { return at_; }
  std::string_view Peek() const { return done() ? std::string_view() : words_[at_]; }
  std::string_view Take() { return words_[at_++]; }

  // The value that follows `keyword`.
  std::string TakeValue(std::string_view keyword) {
    if (done()) throw UsageError{fmt::format("\"{}\" needs a value", keyword)};
    return std::string(Take());
  }

  // Consumes the next word if it is `word` or a beginning of it.
  bool TakeIf(std::string_view word) {
    if (Peek().empty() || !word.starts_with(Peek())) return false;
    ++at_;
    return true;
  }

 private:
  std::span<const char* const> words_;
  std::size_t at_ = 0;
};

inline uint64_t ParseNumber(std::string_view keyword, std::string_view text, uint64_t min,
                            uint64_t max) {
  std::string_view digits = text;
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) digits.remove_prefix(2);
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, hex ? 16 : 10);
  if (error != std::errc() || stop != end || value < min || value > max) {
    throw UsageError{
        fmt::format("{}: \"{}\" is not a number from {} to {}", keyword, text, min, max)};
  }
  return value;
}

inline std::string ParseIpAddress(std::string_view keyword, const std::string& text) {
  std::array<uint8_t, 16> bytes;
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) != 1 &&
      inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) {
    throw UsageError{fmt::format("{}: \"{}\" is not an IP address", keyword, text)};
  }
  return text;
}

inline void SetOnce(Json* request, const char* field, Json value) {
  if (request->contains(field)) throw UsageError{fmt::format("\"{}\" is given twice", field)};
  (*request)[field] = std::move(value);
}

[[noreturn]] inline void FailUnknown(std::string_view object, std::string_view word) {
  throw UsageError{
      fmt::format("{}: unknown command or keyword \"{}\"; try \"cygnet help\"", object, word)};
}

// "list" and "show" mean the same, and are the default.
inline void SkipListCommand(Words* words) {
  if (!words->TakeIf("list")) words->TakeIf("show");
}

// arguments_capture.cc
void ParseCapture(Words* words, Arguments* out);
void ParseExtcap(Words* words, Arguments* out);

// arguments_placement.cc
void ParseLedger(Words* words, Arguments* out);
void ParseOffload(Words* words, Arguments* out);
void ParsePlacement(Words* words, Arguments* out);
void ParseSim(Words* words, Arguments* out);

}  // namespace cygnet
