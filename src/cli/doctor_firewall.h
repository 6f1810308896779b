// Rules of the host's packet filter that work against Cygnet. Some ask what only the kernel's own
// XFRM can answer: whether a packet came or will go by IPsec; the answer is always no. Others
// translate what a policy is for before Cygnet sees it (nat_rules.h).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/nat_rules.h"

namespace cygnet {

// In nftables' JSON of a ruleset; each as "table ip nat, chain POSTROUTING, handle 2: ipsec out".
std::vector<std::string> IpsecRulesIn(const Json& ruleset);

// In what iptables-save prints: its lines with "-m policy", each with its table.
std::vector<std::string> PolicyRulesIn(std::string_view saved);

// The ruleset that is in force, as JSON; discarded: it cannot be read.
Json ReadRuleset();

// What of the daemon's reports the rules are held against.
struct FirewallSubject {
  std::vector<PolicyTraffic> traffic;
  std::vector<OutDevice> devices;
};
// Of its devices and policies; the addresses of the devices are looked for.
FirewallSubject SubjectOf(const std::vector<Json>& devices, const std::vector<Json>& policies);

// Rows of the doctor about the rules that are in force in this network namespace; at least one.
std::vector<Json> CheckFirewall(const FirewallSubject& subject);

}  // namespace cygnet
