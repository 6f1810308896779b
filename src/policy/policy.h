// Policy: which traffic is protected, passed or blocked (RFC 4301, section 4.4.1; struct
// xfrm_userpolicy_info). Plain values; the Spd stores them.
#pragma once

#include <cstdint>

#include "base/boxed.h"
#include "base/defaulted.h"
#include "base/ids.h"
#include "net/offload_request.h"
#include "net/selector.h"
#include "policy/templates.h"

namespace cygnet {

enum class PolicyDirection : uint8_t { kIn = 0, kOut = 1, kForward = 2 };
inline constexpr int kPolicyDirections = 3;
enum class PolicyAction : uint8_t { kAllow = 0, kBlock = 1 };
enum class PolicyType : uint8_t { kMain = 0, kSub = 1 };

// userpolicy_info.flags
inline constexpr uint8_t kPolicyLocalOk = 1;
inline constexpr uint8_t kPolicyIcmp = 2;
// Key management is asked for an SA for each CPU that sends (RFC 9611).
inline constexpr uint8_t kPolicyCpuAcquire = 4;

// The limits of sa/sa_spec.h, repeated for policies. Only the time limits have an effect.
struct PolicyLimits {
  uint64_t soft_bytes = ~uint64_t{0};
  uint64_t hard_bytes = ~uint64_t{0};
  uint64_t soft_packets = ~uint64_t{0};
  uint64_t hard_packets = ~uint64_t{0};
  uint64_t soft_add_seconds = 0;
  uint64_t hard_add_seconds = 0;
  uint64_t soft_use_seconds = 0;
  uint64_t hard_use_seconds = 0;
  bool operator==(const PolicyLimits&) const = default;
};

// A policy as a client requested it.
struct PolicySpec {
  Selector selector;
  uint32_t priority = 0;  // the lowest number wins; of equal numbers the older policy
  uint32_t index = 0;     // 0 = choose one
  PolicyDirection direction = PolicyDirection::kOut;
  PolicyAction action = PolicyAction::kAllow;
  PolicyType type = PolicyType::kMain;
  uint8_t flags = 0;
  uint8_t share = 0;
  bool of_socket = false;  // see policy/socket_policies.h; not in the SPD
  // Set by control: no tunnel interface has its if_id or mark. It then blocks every packet that its
  // selector matches, whatever it allowed: a packet that it would have protected could otherwise
  // take another way, in clear.
  bool unmet = false;
  // The packets of a tunnel interface: its if_id is equal, and so are the bits of its mark under
  // the mask (kernel: xfrm_policy_match). Both are part of the identity.
  uint32_t mark_value = 0;
  uint32_t mark_mask = 0;
  uint32_t if_id = 0;
  Templates templates;  // empty and kAllow: pass in clear
  Defaulted<PolicyLimits> limits;
  // Packet offload only. The policy finds only SAs with packet offload on the same device, and a
  // policy without it finds none of these.
  Boxed<OffloadRequest> offload;
  bool of_tunnel() const { return (if_id | mark_value | mark_mask) != 0; }
  bool blocks() const { return action == PolicyAction::kBlock || unmet; }
  // The packets of the tunnel are among those that the policy is for.
  bool IsFor(uint32_t tunnel_id, uint32_t tunnel_mark) const {
    return if_id == tunnel_id && (tunnel_mark & mark_mask) == mark_value;
  }
};

// The key of GETPOLICY and DELPOLICY: the index if not 0, otherwise the selector.
struct PolicyId {
  Selector selector;
  uint32_t index = 0;
  PolicyDirection direction = PolicyDirection::kOut;
  PolicyType type = PolicyType::kMain;
  uint32_t mark_value = 0;
  uint32_t mark_mask = 0;
  uint32_t if_id = 0;
};

// Identity by selector: no two policies share it.
inline PolicyId IdOf(const PolicySpec& spec) {
  return {.selector = spec.selector,
          .index = 0,
          .direction = spec.direction,
          .type = spec.type,
          .mark_value = spec.mark_value,
          .mark_mask = spec.mark_mask,
          .if_id = spec.if_id};
}

}  // namespace cygnet
