// Wipes memory that C++ frees: strings and JSON with keys that an operator asked to see, copies in
// containers that grew, anything that was overlooked. It costs only when memory is freed, which the
// data path never does per packet. Sanitizers need their own allocator, so they disable this.
#include <malloc.h>
#include <string.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#if !defined(CYGNET_SANITIZED)

namespace {

void* Take(std::size_t size) {
  void* p = std::malloc(size != 0 ? size : 1);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

void* TakeAligned(std::size_t size, std::align_val_t align) {
  void* p = nullptr;
  // posix_memalign refuses what is less than a pointer's.
  const std::size_t least = std::max(static_cast<std::size_t>(align), sizeof(void*));
  if (posix_memalign(&p, least, size != 0 ? size : 1) != 0) {
    throw std::bad_alloc();
  }
  return p;
}

void WipeAndFree(void* p) noexcept {
  if (p == nullptr) return;
  explicit_bzero(p, malloc_usable_size(p));
  std::free(p);
}

}  // namespace

void* operator new(std::size_t size) { return Take(size); }
void* operator new[](std::size_t size) { return Take(size); }
void* operator new(std::size_t size, std::align_val_t align) { return TakeAligned(size, align); }
void* operator new[](std::size_t size, std::align_val_t align) { return TakeAligned(size, align); }

void operator delete(void* p) noexcept { WipeAndFree(p); }
void operator delete[](void* p) noexcept { WipeAndFree(p); }
void operator delete(void* p, std::size_t) noexcept { WipeAndFree(p); }
void operator delete[](void* p, std::size_t) noexcept { WipeAndFree(p); }
void operator delete(void* p, std::align_val_t) noexcept { WipeAndFree(p); }
void operator delete[](void* p, std::align_val_t) noexcept { WipeAndFree(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { WipeAndFree(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { WipeAndFree(p); }

#endif
