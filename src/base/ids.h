// Strong identifiers: SPIs, reqids and offload handles cannot be mixed up.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace cygnet {

template <typename Tag, typename T>
struct StrongId {
  T value{};
  constexpr StrongId() = default;
  constexpr explicit StrongId(T v) : value(v) {}
  auto operator<=>(const StrongId&) const = default;
};

using Spi = StrongId<struct SpiTag, uint32_t>;      // host byte order; 0 never appears on the wire
using Reqid = StrongId<struct ReqidTag, uint32_t>;  // 0 = none
// A device's name for an SA it holds. Opaque to the stack; meaningful only to that device.
using OffloadHandle = StrongId<struct OffloadHandleTag, uint32_t>;
// The same for a policy (packet offload).
using OffloadPolicyHandle = StrongId<struct OffloadPolicyHandleTag, uint32_t>;

inline constexpr std::size_t kCacheLine = 64;

}  // namespace cygnet

template <typename Tag, typename T>
struct std::hash<cygnet::StrongId<Tag, T>> {
  std::size_t operator()(const cygnet::StrongId<Tag, T>& id) const noexcept {
    return std::hash<T>{}(id.value);
  }
};
