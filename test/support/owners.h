// Whether an object that counts its owners would end now.
#pragma once

#include "base/counted_ptr.h"

namespace cygnet::test {

// Nobody but the caller owns it. REQUIRES: the caller does, and no other thread.
template <typename T>
bool HasOneOwner(const CountedPtr<T>& owner) {
  const bool last = owner->owner_count.RemoveLast();
  owner->owner_count.Add();
  return last;
}

}  // namespace cygnet::test
