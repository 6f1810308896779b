// Memory for large tables and numerous objects: regions of huge pages, so that a walk through a
// million objects does not miss the TLB each time. Slab memory is never returned to the system.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

#include "base/check.h"

namespace cygnet {

inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Sanitizers need each object to come from malloc.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSlabs = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
inline constexpr bool kSlabs = false;
#else
inline constexpr bool kSlabs = true;
#endif
#else
inline constexpr bool kSlabs = true;
#endif

// For containers. Small arrays come from the ordinary heap.
template <typename T>
struct HugeAllocator {
  using value_type = T;
  HugeAllocator() = default;
  template <typename U>
  HugeAllocator(const HugeAllocator<U>&) {}  // NOLINT: implicit, as in allocators
  T* allocate(std::size_t n) {
    const std::size_t bytes = n * sizeof(T);
    if (bytes < kHugePage / 2) {
      return static_cast<T*>(::operator new(bytes, std::align_val_t(alignof(T))));
    }
    const std::size_t whole = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    void* p = std::aligned_alloc(kHugePage, whole);
    CYGNET_CHECK(p != nullptr);
    (void)madvise(p, whole, MADV_HUGEPAGE);  // only a hint
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t n) {
    if (n * sizeof(T) < kHugePage / 2) {
      ::operator delete(p, std::align_val_t(alignof(T)));
    } else {
      std::free(p);
    }
  }
  template <typename U>
  bool operator==(const HugeAllocator<U>&) const {
    return true;
  }
};

// Huge pages in parts. All slabs take theirs from the same pages, so that none holds more memory
// than its objects need. Any thread.
class HugeParts {
 public:
  static constexpr std::size_t kBytes = 64 * 1024;
  // Aligned to its size. Never given back.
  static uint8_t* Take() {
    static HugeParts* const parts = new HugeParts;  // never destroyed, as slabs
    const std::lock_guard lock(parts->mutex_);
    if (parts->left_ == 0) {
      parts->next_ = static_cast<uint8_t*>(std::aligned_alloc(kHugePage, kHugePage));
      CYGNET_CHECK(parts->next_ != nullptr);
      (void)madvise(parts->next_, kHugePage, MADV_HUGEPAGE);  // only a hint
      parts->left_ = kHugePage / kBytes;
    }
    --parts->left_;
    uint8_t* const part = parts->next_;
    parts->next_ += kBytes;
    return part;
  }

 private:
  std::mutex mutex_;
  uint8_t* next_ = nullptr;
  std::size_t left_ = 0;
};

// Objects of one size, each aligned to kAlign. Any thread, but it takes a mutex: for control
// threads, and for what a worker makes once for each SA.
template <std::size_t kBytes, std::size_t kAlign>
class Slab {
 public:
  static void* Take() {
    if constexpr (!kSlabs) return ::operator new(kSize, std::align_val_t(kAlign));
    Slab& slab = Instance();
    const std::lock_guard lock(slab.mutex_);
    if (slab.free_ == nullptr) slab.Grow();
    Free* taken = slab.free_;
    slab.free_ = taken->next;
    return taken;
  }
  static void Give(void* p) {
    if constexpr (!kSlabs) {
      ::operator delete(p, std::align_val_t(kAlign));
      return;
    }
    Slab& slab = Instance();
    const std::lock_guard lock(slab.mutex_);
    slab.free_ = new (p) Free{slab.free_};
  }

 private:
  struct Free {
    Free* next;
  };
  static constexpr std::size_t kSize = (kBytes + kAlign - 1) / kAlign * kAlign;
  static_assert(kSize >= sizeof(Free) && kSize <= HugeParts::kBytes);

  static Slab& Instance() {
    static Slab* const slab = new Slab;  // never destroyed: objects may outlive main
    return *slab;
  }
  void Grow() {
    constexpr std::size_t kBytesAtOnce = HugeParts::kBytes;
    // A few objects need no huge page.
    auto* base = grown_ ? HugeParts::Take()
                        : static_cast<uint8_t*>(std::aligned_alloc(kBytesAtOnce, kBytesAtOnce));
    CYGNET_CHECK(base != nullptr);
    grown_ = true;
    const std::size_t n = kBytesAtOnce / kSize;
    for (std::size_t i = n; i-- > 0;) free_ = new (base + i * kSize) Free{free_};
  }

  std::mutex mutex_;
  Free* free_ = nullptr;
  bool grown_ = false;
};

// For std::allocate_shared: single objects only. Large ones begin at a cache line.
template <typename T>
struct SlabAllocator {
  using value_type = T;
  using Memory = Slab<sizeof(T), (sizeof(T) > 64 ? 64 : alignof(T))>;
  SlabAllocator() = default;
  template <typename U>
  SlabAllocator(const SlabAllocator<U>&) {}  // NOLINT: implicit, as in allocators
  T* allocate(std::size_t n) {
    CYGNET_CHECK(n == 1);
    return static_cast<T*>(Memory::Take());
  }
  void deallocate(T* p, std::size_t) { Memory::Give(p); }
  template <typename U>
  bool operator==(const SlabAllocator<U>&) const {
    return true;
  }
};

// Base of classes whose objects are allocated one by one.
template <typename T>
struct FromSlab {
  static void* operator new(std::size_t) { return Slab<sizeof(T), alignof(T)>::Take(); }
  static void* operator new(std::size_t, std::align_val_t) {
    return Slab<sizeof(T), alignof(T)>::Take();
  }
  static void operator delete(void* p) { Slab<sizeof(T), alignof(T)>::Give(p); }
  static void operator delete(void* p, std::align_val_t) { Slab<sizeof(T), alignof(T)>::Give(p); }
};

}  // namespace cygnet
