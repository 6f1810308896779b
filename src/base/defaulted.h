// Defaulted: a value that few objects change. It takes eight bytes while it equals T{}.
#pragma once

#include <type_traits>

#include "base/boxed.h"

namespace cygnet {

// `T`: default-constructible and comparable.
template <typename T>
class Defaulted {
 public:
  Defaulted() = default;
  Defaulted(const T& value) { *this = value; }  // NOLINT: as a T
  Defaulted& operator=(const T& value) {
    value_ = value == T{} ? Boxed<T>() : Boxed<T>(value);
    return *this;
  }

  const T& operator*() const {
    static const T usual{};
    return value_.has_value() ? *value_ : usual;
  }
  const T* operator->() const { return &**this; }
  operator const T&() const { return **this; }  // NOLINT: as a T
  // For changes of single fields.
  T* Change() {
    if (!value_.has_value()) value_ = T{};
    return &*value_;
  }
  // Takes no memory for a field that has the value already.
  template <typename Field>
  void Set(Field T::*field, const std::type_identity_t<Field>& value) {
    if (!((**this).*field == value)) Change()->*field = value;
  }

  friend bool operator==(const Defaulted& a, const Defaulted& b) { return *a == *b; }
  friend bool operator==(const Defaulted& a, const T& b) { return *a == b; }

 private:
  Boxed<T> value_;
};

}  // namespace cygnet
