// Values of keywords: text of the command line to the JSON of a request.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/grammar.h"

namespace cygnet {

// Thrown while a command line is read, caught by ParseArguments. For the operator.
struct UsageError {
  std::string text;
};

// The value of `keyword`. Throws UsageError if the text is not one.
Json ReadValue(const Keyword& keyword, std::string_view text);

// The words of a kOneOf.
std::vector<std::string_view> ChoicesOf(const Keyword& keyword);

bool IsDecimal(std::string_view text);

// "unknown object …", with what it may have meant.
[[noreturn]] void FailUnknownObject(std::string_view word);

}  // namespace cygnet
