#include "cli/ink.h"

#include <unistd.h>

#include <cstdlib>

#include "client/json_fields.h"

namespace cygnet {
namespace {

// NO_COLOR of any value but the empty one forbids (no-color.org).
bool IsWanted(FILE* out) {
  const char* const no_color = std::getenv("NO_COLOR");
  return CanMoveCursor() && (no_color == nullptr || *no_color == '\0') && isatty(fileno(out)) == 1;
}

}  // namespace

bool CanMoveCursor() {
  const char* const term = std::getenv("TERM");
  return term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
}

Ink::Ink(ColorWhen when, FILE* out)
    : on_(when == ColorWhen::kAlways || (when == ColorWhen::kAuto && IsWanted(out))) {}

std::string Ink::Paint(Tone tone, std::string_view text) const {
  if (!on_ || tone == Tone::kPlain || text.empty()) return std::string(text);
  const char* const color = tone == Tone::kGood     ? "\033[32m"
                            : tone == Tone::kNotice ? "\033[33m"
                                                    : "\033[31m";
  return color + std::string(text) + "\033[0m";
}

Tone StateTone(std::string_view state) {
  if (state == "valid") return Tone::kGood;
  return state == "larval" || state == "dying" ? Tone::kNotice : Tone::kBad;
}

Tone PlacementTone(const Json& placement) {
  const std::string effective = Text(placement, "effective");
  const std::string requested = Text(placement, "requested");
  if (effective == "blocked") return Tone::kBad;
  if (effective != "software") return Tone::kGood;
  return requested.empty() || requested == "no" ? Tone::kPlain : Tone::kNotice;
}

}  // namespace cygnet
