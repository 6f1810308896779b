// The order in which a Linux kernel checks two policies of equal priority after one of them was
// updated.
//
// The kernel keeps policies in several lists, by how specific the addresses of their selectors are.
// An update keeps a policy's place in its own list; relative to policies of other lists it counts
// as new (net/xfrm/xfrm_policy.c since Linux 6.12: xfrm_policy_insert, xfrm_policy_lookup_bytype).
#pragma once

#include <cstdint>

#include "net/selector.h"

namespace cygnet {

enum class KernelList : uint8_t { kHosts, kBoth, kSource, kDestination, kAny };
inline constexpr int kKernelLists = 5;

KernelList KernelListOf(const Selector& selector);

// True if both are in one list and some flow matches both selectors.
bool AreNeighbours(const Selector& a, const Selector& b);

}  // namespace cygnet
