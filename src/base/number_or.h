// NumberOr: a small number, or a value on the heap. It takes eight bytes, for values that nearly
// always are one of a few.
#pragma once

#include <cstdint>
#include <utility>

namespace cygnet {

// `T`: copyable; no address of one is odd.
template <typename T>
class NumberOr {
 public:
  explicit NumberOr(uint32_t number = 0) : word_(uintptr_t{number} << 1 | 1) {}
  explicit NumberOr(T value) : word_(reinterpret_cast<uintptr_t>(new T(std::move(value)))) {}
  NumberOr(const NumberOr& other)
      : word_(other.value() == nullptr ? other.word_
                                       : reinterpret_cast<uintptr_t>(new T(*other.value()))) {}
  NumberOr(NumberOr&& other) noexcept : word_(std::exchange(other.word_, 1)) {}
  NumberOr& operator=(NumberOr other) noexcept {
    std::swap(word_, other.word_);
    return *this;
  }
  ~NumberOr() { delete value(); }

  // nullptr: it is a number.
  T* value() { return (word_ & 1) != 0 ? nullptr : reinterpret_cast<T*>(word_); }
  const T* value() const { return (word_ & 1) != 0 ? nullptr : reinterpret_cast<const T*>(word_); }
  // REQUIRES: it is a number.
  uint32_t number() const { return static_cast<uint32_t>(word_ >> 1); }

 private:
  static_assert(alignof(T) > 1);
  uintptr_t word_;  // odd: twice the number, and one; otherwise the address of the value
};

}  // namespace cygnet
