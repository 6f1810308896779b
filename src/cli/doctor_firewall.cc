#include "cli/doctor_firewall.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <set>
#include <utility>

#include "cli/nft_ruleset.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

constexpr std::string_view kAdvice =
    "such a match never succeeds under Cygnet: match by address, interface or your own mark "
    "instead (doc/firewall.md)";

// "ipsec out", "meta ipsec" or "-m policy"; empty: the expression does not match on IPsec. Searches
// all levels: maps, sets and concatenations also contain expressions.
std::string IpsecWordIn(const Json& node) {
  if (node.is_object()) {
    for (const auto& [key, value] : node.items()) {
      const std::string field = Word(value, "key");
      if (key == "ipsec") return "ipsec " + Word(value, "dir");
      if (key == "meta" && (field == "ipsec" || field == "secpath")) return "meta ipsec";
      if (key == "rt" && field == "ipsec") return "rt ipsec";
      if (key == "xt" && Word(value, "name") == "policy") return "-m policy";
    }
  }
  if (!node.is_structured()) return {};
  for (const auto& [key, value] : node.items()) {
    if (std::string word = IpsecWordIn(value); !word.empty()) return word;
  }
  return {};
}

struct PipeCloser {
  void operator()(FILE* pipe) const { pclose(pipe); }
};

// The output of a program given by its full path; empty if it is not installed.
std::string OutputOf(const std::string& program) {
  if (access(program.c_str(), X_OK) != 0) return {};
  const std::unique_ptr<FILE, PipeCloser> pipe(popen((program + " 2>/dev/null").c_str(), "re"));
  std::string text;
  std::array<char, 4096> part;
  while (pipe != nullptr) {
    const std::size_t got = fread(part.data(), 1, part.size(), pipe.get());
    if (got == 0) break;
    text.append(part.data(), got);
  }
  return text;
}

// Rules of the legacy interface; those of iptables-nft are in the nftables ruleset.
std::string SavedRules(const std::string& family) {
  for (const char* folder : {"/usr/sbin/", "/sbin/"}) {
    for (const char* kind : {"-legacy-save", "-save"}) {
      const std::string program = folder + family + kind;
      if (access(program.c_str(), X_OK) == 0) return OutputOf(program);
    }
  }
  return {};
}

Json Row(bool ok, std::string text, std::string_view advice) {
  return {{"check", "firewall"}, {"ok", ok}, {"text", std::move(text)}, {"advice", advice}};
}

std::vector<AddressRange> AddressesOf(const std::string& device) {
  std::vector<AddressRange> addresses;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return addresses;
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    const int family = at->ifa_addr != nullptr ? at->ifa_addr->sa_family : AF_UNSPEC;
    if (device != at->ifa_name || (family != AF_INET && family != AF_INET6)) continue;
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* bytes = family == AF_INET
                            ? static_cast<const void*>(
                                  &reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr)
                            : &reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr;
    if (inet_ntop(family, bytes, text.data(), text.size()) == nullptr) continue;
    if (const auto address = ParseRange(text.data())) addresses.push_back(*address);
  }
  return addresses;
}

// In the syntax of the tool that has the rule.
std::string ExemptionFor(std::string_view tool, const std::string& device,
                         const PolicyTraffic& traffic) {
  if (tool != "nftables") return fmt::format("-o {} -d {} -j ACCEPT", device, traffic.to);
  return fmt::format("oifname \"{}\" {} daddr {} accept", device,
                     traffic.source.family == AF_INET ? "ip" : "ip6", traffic.to);
}

void AddTranslations(std::string_view tool, const std::vector<NatFinding>& findings,
                     std::vector<Json>* rows) {
  for (const NatFinding& finding : findings) {
    const PolicyTraffic& first = *finding.defeats.front();
    const std::size_t more = finding.defeats.size() - 1;
    rows->push_back(
        Row(false,
            fmt::format("{}, {}: packets of policy {}{} get another source address before {} sees "
                        "them; the policy no longer matches them, and they may leave in clear",
                        tool, finding.rule, first.policy,
                        more == 0 ? "" : fmt::format(" (and {} more)", more), finding.device),
            fmt::format("exempt them by address in an earlier rule: {} (doc/firewall.md)",
                        ExemptionFor(tool, finding.device, first))));
  }
}

// Chains that do not see what passes the host's stack by.
void AddPassedBy(const std::vector<std::string>& inside, const Json& ruleset,
                 std::vector<Json>* rows) {
  if (inside.empty()) return;
  std::vector<std::string> chains;
  for (const std::string& chain : ForwardChainsIn(ruleset)) chains.push_back("nftables, " + chain);
  for (const char* family : {"iptables", "ip6tables"}) {
    if (FiltersForwarded(SavedRules(family))) {
      chains.push_back(std::string(family) + ", chain FORWARD");
    }
  }
  for (const std::string& chain : chains) {
    rows->push_back(Row(false,
                        fmt::format("{}: it does not see the packets between {} and tunnels", chain,
                                    fmt::join(inside, ", ")),
                        "express what it forbids by policies, or take the interface out of inside "
                        "(doc/inside.md)"));
  }
}

}  // namespace

std::vector<std::string> IpsecRulesIn(const Json& ruleset) {
  std::vector<std::string> found;
  for (const Json& item : Child(ruleset, "nftables")) {
    const auto entry = item.is_object() ? item.find("rule") : item.end();
    if (!item.is_object() || entry == item.end() || !entry->is_object()) continue;
    const Json& rule = *entry;
    const std::string word = IpsecWordIn(Child(rule, "expr"));
    if (word.empty()) continue;
    found.push_back(fmt::format("table {} {}, chain {}, handle {}: {}", Word(rule, "family"),
                                Word(rule, "table"), Word(rule, "chain"), Number(rule, "handle"),
                                word));
  }
  return found;
}

std::vector<std::string> PolicyRulesIn(std::string_view saved) {
  std::vector<std::string> found;
  std::string table;
  while (!saved.empty()) {
    const std::size_t end = saved.find('\n');
    const std::string_view line = saved.substr(0, end);
    saved.remove_prefix(end == std::string_view::npos ? saved.size() : end + 1);
    if (line.starts_with("*")) table = line.substr(1);
    if (line.starts_with("-A") && line.find(" -m policy") != std::string_view::npos) {
      found.push_back(fmt::format("table {}: {}", table, line));
    }
  }
  return found;
}

std::vector<std::string> ForwardChainsIn(const Json& ruleset) {
  const auto name = [](const Json& of, const char* chain) {
    return fmt::format("table {} {}, chain {}", Word(of, "family"), Word(of, "table"),
                       Word(of, chain));
  };
  std::vector<std::string> forward;
  std::set<std::string> active;
  for (const Json& item : Child(ruleset, "nftables")) {
    if (!item.is_object()) continue;
    if (const auto chain = item.find("chain"); chain != item.end() && chain->is_object()) {
      if (Word(*chain, "hook") != "forward") continue;
      forward.push_back(name(*chain, "name"));
      if (Word(*chain, "policy") == "drop") active.insert(forward.back());
    }
    if (const auto rule = item.find("rule"); rule != item.end() && rule->is_object()) {
      active.insert(name(*rule, "chain"));
    }
  }
  std::erase_if(forward, [&](const std::string& chain) { return active.count(chain) == 0; });
  return forward;
}

bool FiltersForwarded(std::string_view saved) {
  return saved.find("\n-A FORWARD ") != std::string_view::npos ||
         saved.find("\n:FORWARD DROP ") != std::string_view::npos;
}

FirewallSubject SubjectOf(const std::vector<Json>& devices, const std::vector<Json>& policies) {
  FirewallSubject subject{.traffic = TrafficOf(policies), .devices = {}};
  for (const Json& device : devices) {
    const std::string name = Text(device, "name");
    subject.devices.push_back({.name = name, .addresses = AddressesOf(name)});
    for (const Json& inside : Child(device, "inside")) {
      subject.inside.push_back(Text(inside, "name"));
    }
  }
  return subject;
}

std::vector<Json> CheckFirewall(const FirewallSubject& subject) {
  std::vector<Json> rows;
  const Ruleset ruleset = ReadRuleset();
  for (const std::string& unread : ruleset.unread) {
    rows.push_back(Row(false, "cannot read " + unread,
                       "run \"nft list ruleset\" and look for \"ipsec\", \"secpath\", \"policy\", "
                       "\"masquerade\" and \"snat\""));
  }
  for (std::string& rule : IpsecRulesIn(ruleset.rules)) {
    rows.push_back(Row(false, "nftables, " + rule, kAdvice));
  }
  for (const NatTable& table : ReadNatTables(ruleset.rules)) {
    AddTranslations("nftables", FindTranslations(table, subject.traffic, subject.devices), &rows);
  }
  for (const auto& [family, number] : {std::pair("iptables", AF_INET), {"ip6tables", AF_INET6}}) {
    const std::string saved = SavedRules(family);
    for (const std::string& rule : PolicyRulesIn(saved)) {
      rows.push_back(Row(false, fmt::format("{}, {}", family, rule), kAdvice));
    }
    const NatTable table = ReadSavedNat(saved, number);
    AddTranslations(family, FindTranslations(table, subject.traffic, subject.devices), &rows);
  }
  AddPassedBy(subject.inside, ruleset.rules, &rows);
  if (rows.empty()) {
    rows.push_back(Row(true,
                       "no rule matches on the kernel's IPsec or translates packets that a policy "
                       "selects",
                       ""));
  }
  return rows;
}

}  // namespace cygnet
