// Typed access to bytes from outside that never reads past their end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

namespace cygnet {

// Copies a trivially copyable T out of `bytes` at `offset`; nullopt when it does not fit.
template <typename T>
requires std::is_trivially_copyable_v<T> std::optional<T> ReadAt(std::span<const uint8_t> bytes,
                                                                 std::size_t offset = 0) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) {
    return std::nullopt;
  }
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <typename T>
requires std::is_trivially_copyable_v<T> std::span<const uint8_t> AsBytes(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof(T)};
}

}  // namespace cygnet
