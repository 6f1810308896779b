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

}  // namespace cygnet
