// Rules of the host's packet filter that conflict with Cygnet. Some match on whether a packet came
// or will leave by the kernel's XFRM, and never succeed. Others translate packets of a policy
// before Cygnet sees them (nat_rules.h).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/nat_rules.h"

namespace cygnet {

// The rules in a ruleset given as nftables JSON, each as "table ip nat, chain POSTROUTING, handle
// 2: ipsec out".
std::vector<std::string> IpsecRulesIn(const Json& ruleset);

// Lines with "-m policy" in the output of iptables-save, each with its table.
std::vector<std::string> PolicyRulesIn(std::string_view saved);

// Base chains of hook forward that have rules or a policy of drop, each as "table inet filter,
// chain forward".
std::vector<std::string> ForwardChainsIn(const Json& ruleset);
// True if the output of iptables-save has rules in FORWARD, or drops by its policy.
bool FiltersForwarded(std::string_view saved);

// The parts of the daemon's reports that the rules are checked against.
struct FirewallSubject {
  std::vector<PolicyTraffic> traffic;
  std::vector<OutDevice> devices;
  std::vector<std::string> inside{};  // names of inside interfaces
};
// From the daemon's devices and policies; looks up the devices' addresses on the host.
FirewallSubject SubjectOf(const std::vector<Json>& devices, const std::vector<Json>& policies);

// The doctor's rows for the active rules of this network namespace; at least one.
std::vector<Json> CheckFirewall(const FirewallSubject& subject);

}  // namespace cygnet
