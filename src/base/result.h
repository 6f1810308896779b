// Result<T>: a value or an Error, for the control path. It follows std::expected, which Debian 12's
// compilers do not both provide; unlike C++23's, an ignored result draws a warning.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace cygnet {

// Error codes. Each is the positive errno value that a netlink client sees.
enum class Errc : int {
  kPermission = 1,             // EPERM
  kNoEntry = 2,                // ENOENT
  kNoSuchProcess = 3,          // ESRCH: XFRM's "no such SA"
  kIo = 5,                     // EIO
  kAgain = 11,                 // EAGAIN
  kNoMemory = 12,              // ENOMEM
  kAccess = 13,                // EACCES
  kBusy = 16,                  // EBUSY
  kExists = 17,                // EEXIST
  kNoDevice = 19,              // ENODEV
  kInvalid = 22,               // EINVAL
  kNoSpace = 28,               // ENOSPC
  kRange = 34,                 // ERANGE
  kNotImplemented = 38,        // ENOSYS: XFRM's "unknown algorithm"
  kNoData = 61,                // ENODATA
  kProtocolNotSupported = 93,  // EPROTONOSUPPORT
  kNotSupported = 95,          // EOPNOTSUPP
  kFamilyNotSupported = 97,    // EAFNOSUPPORT
  kNetworkDown = 100,          // ENETDOWN
};

struct Error {
  Errc code = Errc::kInvalid;
  std::string message;  // for people and the extended ACK; empty if the kernel sends none
  std::optional<uint32_t> attr_offset;  // of the offending attribute, from the start of the message
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& operator*() & {
    CYGNET_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& operator*() const& {
    CYGNET_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  T&& operator*() && {
    CYGNET_CHECK(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }
  const Error& error() const {
    CYGNET_CHECK(!has_value());
    return *std::get_if<1>(&state_);
  }
  T value_or(T fallback) && { return has_value() ? std::move(**this) : std::move(fallback); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  const Error& error() const {
    CYGNET_CHECK(error_.has_value());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

inline Error MakeError(Errc code, std::string message = {}) {
  return Error{code, std::move(message), std::nullopt};
}

}  // namespace cygnet

// Returns the error of `expr` (a Status or Result), if any, from the calling function.
#define CYGNET_RETURN_IF_ERROR(expr)                   \
  do {                                                 \
    if (auto status_ = (expr); !status_.has_value()) { \
      return status_.error();                          \
    }                                                  \
  } while (false)
