// Half: the outbound or the inbound part of an SA. Each has a place, a key and a state of its own.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "crypto/crypto_engine.h"

namespace cygnet {

enum class Half : uint8_t { kOutbound, kInbound };
inline constexpr std::array<Half, 2> kHalves = {Half::kOutbound, Half::kInbound};

constexpr bool IsInbound(Half half) { return half == Half::kInbound; }
constexpr Half HalfFor(bool inbound) { return inbound ? Half::kInbound : Half::kOutbound; }
// For tables with one entry for each half.
constexpr std::size_t IndexOf(Half half) { return static_cast<std::size_t>(half); }
constexpr CryptoDirection DirectionOf(Half half) {
  return half == Half::kInbound ? CryptoDirection::kOpen : CryptoDirection::kSeal;
}
// "out", "in".
constexpr std::string_view Name(Half half) { return half == Half::kInbound ? "in" : "out"; }

}  // namespace cygnet
