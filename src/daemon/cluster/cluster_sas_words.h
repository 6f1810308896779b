// Words that the parts of ClusterSas share: of keys in the store, and of refusals.
#pragma once

#include <string>
#include <string_view>

namespace cygnet {

inline constexpr const char* kPolicies = "policy/";
// After all names of SAs: whoever reads the entries in the order of their keys meets it last.
inline constexpr const char* kComplete = "sa/written/";
inline std::string CompleteKey(const std::string& group) { return kComplete + group; }

inline constexpr std::size_t kMaxRefusedShown = 1000;

inline constexpr const char* kOfEarlierEra =
    "it was written before the store went back, so nobody knows which of its numbers were used; "
    "rekey it";
inline constexpr const char* kOfEarlierOwner =
    "it is of an earlier owner of the group, and the present one does not have it";
inline constexpr const char* kOfEarlierEraHere =
    "it was written before the store went back; this node has the policy";
inline constexpr const char* kNotInstalled = "it cannot be installed: ";
inline constexpr const char* kOlder = "it is older than one that this node has seen";
inline constexpr const char* kOfForeignGroup =
    "no group of this node has its address; configure the same groups on all nodes";

// Of a policy: this node knows what the group has in its place.
inline bool HidesNoPolicy(std::string_view why) {
  return why == kOfEarlierOwner || why == kOfEarlierEraHere || why.starts_with(kOlder);
}

}  // namespace cygnet
