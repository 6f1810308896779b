#include "cli/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace cygnet {
namespace {

// Letters that are wrong, missing, too many, or in each other's place (optimal string alignment).
std::size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, changed});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::string_view Nearest(std::string_view wrong, const std::vector<std::string_view>& words) {
  constexpr std::size_t kLongest = 40;  // of a word that is worth the work
  if (wrong.empty() || wrong.size() > kLongest) return {};
  std::string_view nearest;
  std::size_t least = 1 + std::max<std::size_t>(1, wrong.size() / 3);
  for (const std::string_view word : words) {
    const std::size_t distance = Distance(wrong, word);
    // A word of which nothing is left is another word.
    if (distance >= least || distance >= word.size()) continue;
    least = distance;
    nearest = word;
  }
  return nearest;
}

std::string DidYouMean(std::string_view wrong, const std::vector<std::string_view>& words,
                       std::string_view otherwise) {
  const std::string_view nearest = Nearest(wrong, words);
  return nearest.empty() ? std::string(otherwise) : fmt::format("did you mean \"{}\"?", nearest);
}

std::string OneOfText(const std::vector<std::string_view>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const char* const before = i == 0 ? "" : i + 1 == words.size() ? " or " : ", ";
    text += fmt::format("{}\"{}\"", before, words[i]);
  }
  return text;
}

}  // namespace cygnet
