// Colours of the terminal. They repeat what the words say.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "cli/arguments.h"

namespace cygnet {

// Whether the terminal that TERM names understands escape sequences.
bool CanMoveCursor();

enum class Tone : uint8_t { kPlain, kGood, kNotice, kBad };

class Ink {
 public:
  Ink() = default;  // none
  // `out`: where the text goes.
  Ink(ColorWhen when, FILE* out);

  std::string Paint(Tone tone, std::string_view text) const;

 private:
  bool on_ = false;
};

// Of the state of an SA.
Tone StateTone(std::string_view state);
// Of one half's placement: whether it runs where it was requested.
Tone PlacementTone(const Json& placement);

}  // namespace cygnet
