// Which destinations the program of an inside interface may take for the packets of one source,
// computed from the SPD: those for which policy protects every packet, whatever its protocol and
// ports, or drops it. Everything else is left to the host, because a taken packet never leaves in
// clear.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "datapath/inside.h"
#include "net/address.h"
#include "policy/policy_state.h"

namespace cygnet {

struct InsideRule {
  AddressPrefix to;
  bool take = false;  // policy protects what leaves by the device
  // Some destination to which this rule applies and none with a longer prefix; nullopt: none has
  // only this rule. Only with `take`, or if the question is also about tunnels.
  std::optional<IpAddress> sample{};
};

struct InsideQuestion {
  IpAddress source;
  IpFamily family = IpFamily::kUnspec;
  int32_t ifindex = 0;   // of the device that the packets would leave by
  bool tunnels = false;  // they may also leave by a tunnel, which lets nothing pass in clear
};

struct InsideRules {
  std::vector<InsideRule> rules;  // by address, then by length
  // Prefixes that policies protect, left to the host: a policy that selects by protocol or port or
  // lets pass may decide first, or the policy may be for an SA that need not exist.
  std::size_t left_to_host = 0;
};

using PolicyList = std::vector<std::shared_ptr<Policy>>;

// `cuts`: prefixes that get rules of their own wherever policy takes what is around them, so that
// the caller can decide about each. REQUIRES: they are masked.
InsideRules MakeInsideRules(const PolicyList& policies, const InsideQuestion& question,
                            std::span<const AddressPrefix> cuts);

// Where the packets of a prefix go.
struct InsideWay {
  uint32_t largest = 0;  // packet that is taken; 0: the host decides
  uint16_t tunnel = 0;   // 0: the device
  bool operator==(const InsideWay&) const = default;
};
struct PrefixOrder {
  bool operator()(const AddressPrefix& a, const AddressPrefix& b) const {
    return std::tie(a.family, a.address, a.bits) < std::tie(b.family, b.address, b.bits);
  }
};
using InsideWays = std::map<AddressPrefix, InsideWay, PrefixOrder>;

// What workers need of the ways of one family; empty: no tunnel is among them.
std::vector<InsideStep> MakeInsideSteps(const InsideWays& ways);

// The source prefixes of the policies that concern the source. Sources with equal answers get equal
// rules.
std::vector<AddressPrefix> SourcePrefixes(const PolicyList& policies,
                                          const InsideQuestion& question);

}  // namespace cygnet
