// What a wrong word may have meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cygnet {

// The word that a typing error turns into `wrong`; empty: none is near enough.
std::string_view Nearest(std::string_view wrong, const std::vector<std::string_view>& words);

// `did you mean "spi"?`, or `otherwise` if no word is near.
std::string DidYouMean(std::string_view wrong, const std::vector<std::string_view>& words,
                       std::string_view otherwise);

// `"a"`, `"a" or "b"`, `"a", "b" or "c"`.
std::string OneOfText(const std::vector<std::string_view>& words);

}  // namespace cygnet
