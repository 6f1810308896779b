// What would happen to a packet, in one paragraph.
#include "cli/printable.h"
#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

constexpr std::size_t kColumns = 80;

// Breaks the text at spaces. A word longer than a line has a line of its own.
std::string Wrapped(const std::string& text) {
  std::string out;
  std::size_t column = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::size_t length = end - at;
    if (column != 0) {
      const bool fits = column + 1 + length <= kColumns;
      out += fits ? ' ' : '\n';
      column = fits ? column + 1 : 0;
    }
    out.append(text, at, length);
    column += length;
    at = end + 1;
  }
  return out + "\n";
}

}  // namespace

std::string WhyText(const Json& why) {
  std::string text;
  for (const Json& step : Child(why, "steps")) {
    if (!text.empty()) text += ' ';
    text += Text(step, "text");
  }
  // An answer that may be wrong must say so.
  text += " Not looked at: the host's firewall, and whether neighbours of the host answer.";
  return Wrapped(Printable(text));  // interfaces have names that others chose
}

bool WhyIsWell(const Json& why) {
  for (const Json& step : Child(why, "steps")) {
    if (!step.value("ok", false)) return false;
  }
  return true;
}

}  // namespace cygnet
