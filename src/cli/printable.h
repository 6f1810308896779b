// Text of other programs, fit for a terminal.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace cygnet {

// One column for each byte: whatever is not printable ASCII becomes "?", so that no text can move
// the cursor.
inline std::string Printable(std::string_view text) {
  std::string clean(text);
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return clean;
}

// The same of a text that may have several lines.
inline std::string PrintableLines(std::string_view text) {
  std::string clean;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    clean += (at == 0 ? "" : "\n") + Printable(text.substr(at, end - at));
    at = end + 1;
  }
  return clean;
}

}  // namespace cygnet
