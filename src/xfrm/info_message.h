// GETSADINFO, GETSPDINFO, NEWSPDINFO, SETDEFAULT, GETDEFAULT: counts and settings of the tables.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "netlink/buffer.h"
#include "policy/policy.h"
#include "xfrm/request.h"
#include "xfrm/sa_message.h"

namespace cygnet::xfrm {

// The prefix lengths from which Linux hashes policies. Stored because daemons read them back; the
// look-up of this stack does not use them.
struct HashThresholds {
  struct Bits {
    uint8_t local = 0;
    uint8_t remote = 0;
  };
  Bits v4{32, 32};
  Bits v6{128, 128};
};

// The u32 that GETSADINFO and GETSPDINFO contain and get back.
uint32_t DecodeInfoFlags(const Request& request);

netlink::Buffer EncodeSadInfo(uint32_t flags, uint32_t sa_count, ReplyTo to);

// Policies by direction.
struct PolicyCounts {
  std::array<uint32_t, kPolicyDirections> count{};  // in, out, forward
  std::array<uint32_t, 2> of_sockets{};             // in, out
};
netlink::Buffer EncodeSpdInfo(uint32_t flags, const PolicyCounts& counts,
                              const HashThresholds& thresholds, ReplyTo to);

// NEWSPDINFO: `now` with the changes of the request.
Result<HashThresholds> DecodeHashThresholds(const Request& request, const HashThresholds& now);

// SETDEFAULT. A direction whose value is neither block nor accept does not change.
using DefaultChange = std::array<std::optional<PolicyAction>, kPolicyDirections>;
DefaultChange DecodeDefaults(const Request& request);

// GETDEFAULT: the answer (flags 0), and the notification of a change (without a request).
netlink::Buffer EncodeDefaults(const std::array<PolicyAction, kPolicyDirections>& actions,
                               ReplyTo to);

}  // namespace cygnet::xfrm
