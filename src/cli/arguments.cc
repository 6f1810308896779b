#include "cli/arguments.h"

#include "cli/argument_reader.h"

namespace cygnet {

Result<Arguments> ParseArguments(std::span<const char* const> words) {
  try {
    return ArgumentReader(words).Read();
  } catch (const UsageError& error) {
    return MakeError(Errc::kInvalid, error.text);
  }
}

Expectation ExpectedAfter(std::span<const char* const> words) {
  ArgumentReader reader(words);
  try {
    (void)reader.Read();
  } catch (const UsageError&) {
    // Words that are missing are what is asked for; wrong ones end the question.
    if (!reader.is_right_so_far()) return {};
  }
  return reader.Expected();
}

}  // namespace cygnet
