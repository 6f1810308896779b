// The words of a command line, one a line: what is accepted makes a request, and what may stand
// next is known for every line.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "cli/arguments.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> words(1);
  for (const char c : std::string(reinterpret_cast<const char*>(data), size)) {
    if (c == '\n') {
      words.emplace_back();
    } else if (c != '\0') {
      words.back() += c;
    }
  }
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  const auto arguments = cygnet::ParseArguments(pointers);
  (void)cygnet::ExpectedAfter(pointers);
  if (!arguments) {
    CYGNET_CHECK(!arguments.error().message.empty());
    return 0;
  }
  CYGNET_CHECK(arguments->rest_at <= words.size());
  const bool asks = arguments->command != nullptr && arguments->command->request != nullptr;
  const bool is_help = arguments->object == cygnet::Object::kHelp;
  const bool is_version = arguments->object == cygnet::Object::kVersion;
  if (asks && !is_help && !is_version) CYGNET_CHECK(arguments->request.contains("command"));
  if (is_help) (void)cygnet::HelpText(arguments->help_for);
  return 0;
}
