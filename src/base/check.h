// Assertions about our own code, never about bytes from outside.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace cygnet::internal {
[[noreturn]] inline void CheckFailed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "cygnet: bug: %s:%d: CHECK failed: %s\n", file, line, what);
  std::abort();
}
}  // namespace cygnet::internal

#define CYGNET_CHECK(cond) \
  ((cond) ? static_cast<void>(0) : ::cygnet::internal::CheckFailed(__FILE__, __LINE__, #cond))

#ifdef NDEBUG
#define CYGNET_DCHECK(cond) static_cast<void>(0)
#else
#define CYGNET_DCHECK(cond) CYGNET_CHECK(cond)
#endif
