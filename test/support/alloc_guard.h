// AllocGuard: counts heap allocations during its lifetime, from any source (new, malloc, a
// library). Include it in ONE source file of a test program: it replaces malloc there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CYGNET_SANITIZER_HEAP 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CYGNET_SANITIZER_HEAP 1
#endif

namespace cygnet::test::internal {
inline constinit std::atomic<uint64_t> g_heap_allocations{0};
}  // namespace cygnet::test::internal

#ifdef CYGNET_SANITIZER_HEAP

#include <sanitizer/allocator_interface.h>

namespace cygnet::test::internal {
inline void OnMalloc(const volatile void*, std::size_t) {
  g_heap_allocations.fetch_add(1, std::memory_order_relaxed);
}
inline void OnFree(const volatile void*) {}
inline const int g_hooks = __sanitizer_install_malloc_and_free_hooks(OnMalloc, OnFree);
}  // namespace cygnet::test::internal

#else

extern "C" {
void* __libc_malloc(std::size_t n);
void* __libc_calloc(std::size_t n, std::size_t size);
void* __libc_realloc(void* p, std::size_t n);

void* malloc(std::size_t n) {
  cygnet::test::internal::g_heap_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(n);
}
void* calloc(std::size_t n, std::size_t size) {
  cygnet::test::internal::g_heap_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t n) {
  cygnet::test::internal::g_heap_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(p, n);
}
}

#endif

namespace cygnet::test {

class AllocGuard {
 public:
  AllocGuard() : before_(internal::g_heap_allocations.load()) {}
  uint64_t allocations() const { return internal::g_heap_allocations.load() - before_; }

 private:
  const uint64_t before_;
};

}  // namespace cygnet::test
