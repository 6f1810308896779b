// ErrnoError: the Error of a failed system call: "what: No such file or directory".
#pragma once

#include <cerrno>
#include <cstring>
#include <string>

#include "base/result.h"

namespace cygnet {

// For a code that means more than errno does. `error`: an errno value.
inline Error ErrnoError(Errc code, const std::string& what, int error = errno) {
  return MakeError(code, what + ": " + std::strerror(error));
}

inline Error ErrnoError(const std::string& what, int error = errno) {
  return ErrnoError(static_cast<Errc>(error), what, error);
}

}  // namespace cygnet
