// CountedPtr: std::shared_ptr for objects that exist in great numbers. The object has the count of
// its owners itself, so an owner is one word, and no control block exists. Without weak pointers.
#pragma once

#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace cygnet {

// A member `owner_count` of the object, which begins without an owner. Any thread.
class OwnerCount {
 public:
  OwnerCount() {}  // NOLINT: not defaulted, for a const member without an initializer
  OwnerCount(const OwnerCount&) = delete;
  OwnerCount& operator=(const OwnerCount&) = delete;
  void Add() const { count_.fetch_add(1, std::memory_order_relaxed); }
  // True: that was the last owner, and the caller ends the object.
  [[nodiscard]] bool RemoveLast() const {
    return count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }

 private:
  mutable std::atomic<uint32_t> count_{0};
};

// An owner. Different owners of one object may be used by different threads.
template <typename T>
class CountedPtr {
 public:
  CountedPtr() = default;
  CountedPtr(std::nullptr_t) {}  // NOLINT: as std::shared_ptr
  // The object comes from `new`.
  explicit CountedPtr(T* object) : object_(object) {
    if (object_ != nullptr) object_->owner_count.Add();
  }
  CountedPtr(const CountedPtr& other) : CountedPtr(other.object_) {}
  CountedPtr(CountedPtr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <typename U>
  requires std::is_same_v<const U, T> CountedPtr(CountedPtr<U> other)  // NOLINT: as std::shared_ptr
      : object_(std::exchange(other.object_, nullptr)) {}
  CountedPtr& operator=(CountedPtr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~CountedPtr() {
    if (object_ != nullptr && object_->owner_count.RemoveLast()) delete object_;
  }

  void reset() { *this = nullptr; }
  T* get() const { return object_; }
  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }
  friend bool operator==(const CountedPtr& a, const CountedPtr& b) = default;
  friend bool operator==(const CountedPtr& a, std::nullptr_t) { return a.object_ == nullptr; }
  friend auto operator<=>(const CountedPtr& a, const CountedPtr& b) {
    return std::compare_three_way()(a.object_, b.object_);
  }

 private:
  template <typename U>
  friend class CountedPtr;
  T* object_ = nullptr;
};

}  // namespace cygnet
