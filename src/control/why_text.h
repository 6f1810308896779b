// Words of the answers about packets: of `cygnet why` and `cygnet mtu explain`.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "policy/policy.h"
#include "sa/sa.h"

namespace cygnet {

// One text of all parts: texts and numbers.
template <typename... Parts>
std::string Text(const Parts&... parts) {
  std::string text;
  const auto add = [&text](const auto& part) {
    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(part)>>) {
      text += std::to_string(part);
    } else {
      text += part;
    }
  };
  (add(parts), ...);
  return text;
}

inline std::string HexText(uint32_t value, int digits) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  while (digits-- > 0) text += kDigits[value >> digits * 4 & 0xf];
  return text;
}

inline std::string NameOf(const Sa& sa) {
  const SaSpec& spec = sa.spec();
  return Text("the SA to ", ToString(spec.daddr, spec.family), " with SPI 0x",
              HexText(spec.spi.value, 8));
}

inline std::string NameOf(const PolicySpec& policy) {
  constexpr const char* kDirections[] = {"in", "out", "fwd"};
  return Text("the policy ", ToString(policy.selector), " dir ",
              kDirections[static_cast<int>(policy.direction)], " (priority ", policy.priority,
              ", index ", policy.index, ")");
}

// At the start of a sentence.
inline std::string Upper(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] -= 'a' - 'A';
  return text;
}

}  // namespace cygnet
