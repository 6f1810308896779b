// Rules of the host's packet filter that ask what only the kernel's own XFRM can answer: whether a
// packet came or will go by IPsec. Under Cygnet the answer is always no.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cygnet {

using Json = nlohmann::ordered_json;

// In nftables' JSON of a ruleset; each as "table ip nat, chain POSTROUTING, handle 2: ipsec out".
std::vector<std::string> IpsecRulesIn(const Json& ruleset);

// In what iptables-save prints: its lines with "-m policy", each with its table.
std::vector<std::string> PolicyRulesIn(std::string_view saved);

// Rows of the doctor about the rules that are in force in this network namespace; at least one.
std::vector<Json> CheckFirewall();

}  // namespace cygnet
