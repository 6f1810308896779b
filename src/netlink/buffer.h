// Buffer: the bytes of messages. SA messages contain keys, so every buffer is wiped when it is
// freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/key_material.h"

namespace cygnet::netlink {

// Overwrites memory before it is freed, also if a vector reallocates.
template <typename T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <typename U>
  WipingAllocator(const WipingAllocator<U>&) {}  // NOLINT: implicit by the standard
  T* allocate(std::size_t n) { return std::allocator<T>().allocate(n); }
  void deallocate(T* p, std::size_t n) {
    SecureWipe(p, n * sizeof(T));
    std::allocator<T>().deallocate(p, n);
  }
  bool operator==(const WipingAllocator&) const = default;
};

using Buffer = std::vector<uint8_t, WipingAllocator<uint8_t>>;

}  // namespace cygnet::netlink
