// Whether a test is built with a sanitizer, which makes it several times slower.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CYGNET_TEST_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CYGNET_TEST_SANITIZED true
#endif
#endif
#if !defined(CYGNET_TEST_SANITIZED)
#define CYGNET_TEST_SANITIZED false
#endif

namespace cygnet::test {

inline constexpr bool kSanitized = CYGNET_TEST_SANITIZED;

}  // namespace cygnet::test
