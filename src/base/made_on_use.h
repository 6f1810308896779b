// MadeOnUse: a value that is made when it is first needed, by whichever thread needs it first. It
// takes eight bytes until then.
#pragma once

#include <atomic>

namespace cygnet {

template <typename T>
class MadeOnUse {
 public:
  MadeOnUse() = default;
  ~MadeOnUse() { delete value_.load(std::memory_order_relaxed); }
  MadeOnUse(const MadeOnUse&) = delete;
  MadeOnUse& operator=(const MadeOnUse&) = delete;

  // Any thread. nullptr: nobody has needed it.
  const T* get() const { return value_.load(std::memory_order_acquire); }
  T& Get() {
    T* value = value_.load(std::memory_order_acquire);
    return value != nullptr ? *value : Make();
  }

 private:
  T& Make() {
    T* made = new T;
    T* first = nullptr;
    if (value_.compare_exchange_strong(first, made, std::memory_order_acq_rel)) return *made;
    delete made;
    return *first;
  }
  std::atomic<T*> value_{nullptr};
};

}  // namespace cygnet
