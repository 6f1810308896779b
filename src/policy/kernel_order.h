// Which of two policies of one priority a Linux kernel asks first, once one of them was updated.
//
// It keeps policies in several lists, by how much of the addresses their selectors say. An update
// keeps the place in its own list; against policies of the other lists it counts as new
// (net/xfrm/xfrm_policy.c since Linux 6.12: xfrm_policy_insert, xfrm_policy_lookup_bytype).
#pragma once

#include <cstdint>

#include "net/selector.h"

namespace cygnet {

enum class KernelList : uint8_t { kHosts, kBoth, kSource, kDestination, kAny };
inline constexpr int kKernelLists = 5;

KernelList KernelListOf(const Selector& selector);

// Both are in one list, and some flow is for both.
bool AreNeighbours(const Selector& a, const Selector& b);

}  // namespace cygnet
