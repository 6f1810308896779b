#include "base/plain_text.h"

#include <algorithm>
#include <cstdint>

namespace cygnet {
namespace {

constexpr char kInPlace = '?';

// Length of the printable character at the start of `text`; 0: there is none.
std::size_t PrintableBytes(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  uint32_t code = first & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    const auto next = static_cast<uint8_t>(text[i]);
    if ((next & 0xc0) != 0x80) return 0;
    code = code << 6 | (next & 0x3fU);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0xa0, 0x800, 0x10000};  // below 0xa0: controls
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return code >= kSmallest[length] && code <= 0x10ffff && !surrogate ? length : 0;
}

std::string Clean(std::string_view text, std::string_view kept) {
  std::string plain;
  plain.reserve(text.size());
  while (!text.empty()) {
    const std::size_t printable = PrintableBytes(text);
    const std::size_t taken = std::max<std::size_t>(printable, 1);
    const bool keep = printable > 0 || kept.find(text[0]) != std::string_view::npos;
    plain.append(keep ? text.substr(0, taken) : std::string_view(&kInPlace, 1));
    text.remove_prefix(taken);
  }
  return plain;
}

}  // namespace

std::string PlainText(std::string_view text) { return Clean(text, ""); }

std::string PlainLines(std::string_view text) { return Clean(text, "\n\t"); }

}  // namespace cygnet
