// Texts by others, as of plug-ins, for logs, reports and terminals.
#pragma once

#include <string>
#include <string_view>

namespace cygnet {

// Each control character, and each byte that is not part of valid UTF-8, becomes "?".
std::string PlainText(std::string_view text);
// The same, but line ends and tabs stay.
std::string PlainLines(std::string_view text);

}  // namespace cygnet
