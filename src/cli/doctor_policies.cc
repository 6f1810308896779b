// Policies: their counterparts, what they forward, and the settings of the host for that.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "cli/doctor_check.h"
#include "cli/nat_rules.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

constexpr std::size_t kMostRows = 10;

// "src A dst B …" of a selector.
struct Ends {
  std::string src;
  std::string dst;
};
Ends EndsOf(const Json& policy) {
  const std::string selector = Text(policy, "selector");
  const auto word_after = [&](std::string_view keyword) {
    const std::size_t at = selector.find(keyword);
    if (at == std::string::npos) return std::string();
    const std::size_t begin = at + keyword.size();
    return selector.substr(begin, selector.find(' ', begin) - begin);
  };
  return {word_after("src "), word_after("dst ")};
}

bool ProtectsByTunnel(const Json& policy) {
  const Json& templates = Child(policy, "templates");
  return Text(policy, "action") == "allow" &&
         std::any_of(templates.begin(), templates.end(), [](const Json& tmpl) {
           return Text(tmpl, "mode") == "tunnel" && Text(tmpl, "level") != "use";
         });
}

bool IsOneHost(const std::string& prefix) {
  return prefix.find('/') == std::string::npos || prefix.ends_with("/32") ||
         prefix.ends_with("/128");
}

// Policies of direction out that protect networks behind this host.
std::vector<const Json*> Forwarding(const std::vector<Json>& policies) {
  std::vector<const Json*> found;
  for (const Json& policy : policies) {
    if (Text(policy, "dir") == "out" && ProtectsByTunnel(policy) &&
        !IsOneHost(EndsOf(policy).src)) {
      found.push_back(&policy);
    }
  }
  return found;
}

// Rules that set the MSS of forwarded segments: of nft, or iptables' TCPMSS.
bool SetsSegmentSize(const Json& node) {
  if (node.is_object()) {
    if (Word(Child(node, "tcp option"), "name") == "maxseg" &&
        Word(Child(node, "tcp option"), "field") == "size") {
      return true;
    }
    if (Word(Child(node, "xt"), "name") == "TCPMSS") return true;
  }
  return node.is_structured() && std::any_of(node.begin(), node.end(), [](const Json& part) {
           return SetsSegmentSize(part);
         });
}

// Whether a policy of direction in or fwd takes what answers a policy of direction out. Most have a
// counterpart with the same words; only the others are compared by containment.
class Inbound {
 public:
  explicit Inbound(const std::vector<Json>& policies) {
    for (const Json& policy : policies) {
      if (Text(policy, "dir") == "out") continue;
      const Ends ends = EndsOf(policy);
      const std::string scope = ScopeOf(policy);
      same_.insert(ends.src + " " + ends.dst + scope);
      const auto src = ParseRange(ends.src);
      const auto dst = ParseRange(ends.dst);
      if (src && dst) ranges_.push_back({*src, *dst, scope});
    }
  }

  bool Answers(const Json& out_policy) const {
    const Ends ends = EndsOf(out_policy);
    const std::string scope = ScopeOf(out_policy);
    if (same_.count(ends.dst + " " + ends.src + scope) != 0) return true;
    const auto src = ParseRange(ends.dst);
    const auto dst = ParseRange(ends.src);
    return src && dst && std::any_of(ranges_.begin(), ranges_.end(), [&](const Entry& entry) {
             return entry.scope == scope && entry.src.Holds(*src) && entry.dst.Holds(*dst);
           });
  }

 private:
  struct Entry {
    AddressRange src;
    AddressRange dst;
    std::string scope;
  };

  // A packet of one interface ID or mark does not meet policies of another.
  static std::string ScopeOf(const Json& policy) {
    const Json& mark = Child(policy, "mark");
    return fmt::format(" if_id {} mark {}/{}", Number(policy, "if_id"), Word(mark, "value"),
                       Word(mark, "mask"));
  }

  std::set<std::string> same_;
  std::vector<Entry> ranges_;
};

}  // namespace

// An opened packet that no policy selects is dropped. Key management makes three policies for each
// tunnel; who makes them by hand forgets some.
std::vector<Finding> CheckPolicyPairs(const DoctorSubject& subject) {
  const Inbound inbound(subject.policies);
  std::vector<Finding> rows;
  for (const Json& policy : subject.policies) {
    if (Text(policy, "dir") != "out" || !ProtectsByTunnel(policy)) continue;
    if (inbound.Answers(policy)) continue;
    if (rows.size() == kMostRows) break;
    const Ends ends = EndsOf(policy);
    rows.push_back(
        {.level = Level::kWarning,
         .text = fmt::format("policy {} dir out has no counterpart of direction in or fwd with "
                             "these networks: answers may be dropped (in-no-policy)",
                             Text(policy, "selector")),
         .advice = fmt::format("ask for an address there: cygnet why ADDRESS; add the policy \"src "
                               "{} dst {} dir in\" (fwd for networks behind this host)",
                               ends.dst, ends.src)});
  }
  return rows;
}

std::vector<Json> MtuRequests(const std::vector<Json>& policies, std::size_t most) {
  std::vector<Json> requests;
  const auto address = [](const std::string& prefix) { return prefix.substr(0, prefix.find('/')); };
  for (const Json* policy : Forwarding(policies)) {
    if (requests.size() == most) break;
    const Ends ends = EndsOf(*policy);
    requests.push_back({{"command", "mtu"},
                        {"dst", address(ends.dst)},
                        {"src", address(ends.src)},
                        {"any_source", true}});
  }
  return requests;
}

// What can be known: how large a segment may be in each tunnel, and whether a rule sets it. Whether
// ICMP reaches the senders cannot be seen from here.
std::vector<Finding> CheckSegmentSize(const DoctorSubject& subject) {
  uint64_t smallest = 0;
  std::string where;
  for (const Json& mtu : subject.mtus) {
    const uint64_t mss = Number(mtu, "tcp_mss");
    if (Text(mtu, "verdict") != "protected" || mss == 0) continue;
    if (smallest == 0 || mss < smallest) {
      smallest = mss;
      where = Text(mtu, "dst");
    }
  }
  if (smallest == 0) return {};
  const std::string size =
      fmt::format("TCP segments of at most {} bytes fit to {}", smallest, where);
  if (SetsSegmentSize(subject.ruleset)) {
    return {{.level = Level::kOk, .text = size + ", and a rule of the firewall sets their size"}};
  }
  return {{.level = Level::kNote,
           .text = size + "; hosts behind this one learn that by ICMP",
           .advice = fmt::format("if some filter ICMP, set the size where their packets are "
                                 "forwarded: nft add rule ... tcp flags syn tcp option maxseg size "
                                 "set {}",
                                 smallest)}};
}

std::vector<Finding> CheckForwarding(const DoctorSubject& subject) {
  std::vector<Finding> rows;
  const std::vector<const Json*> policies = Forwarding(subject.policies);
  const auto look = [&](bool v6, const std::optional<bool>& forwards, const char* setting) {
    const auto of_family = [v6](const Json* policy) {
      return (EndsOf(*policy).src.find(':') != std::string::npos) == v6;
    };
    const auto first = std::find_if(policies.begin(), policies.end(), of_family);
    if (first == policies.end() || forwards.value_or(false)) return;
    const std::string selector = Text(**first, "selector");
    if (!forwards) {
      rows.push_back(
          {.level = Level::kUnknown,
           .text = fmt::format("cannot read {}, on which policy {} depends", setting, selector),
           .advice = fmt::format("run: sysctl {}", setting)});
    } else {
      rows.push_back({.level = Level::kWarning,
                      .text = fmt::format("policy {} is for a network behind this host, which does "
                                          "not forward",
                                          selector),
                      .advice = fmt::format(
                          "sysctl -w {}=1, unless all these addresses are its own", setting)});
    }
  };
  look(false, subject.host.forwards_v4, "net.ipv4.ip_forward");
  look(true, subject.host.forwards_v6, "net.ipv6.conf.all.forwarding");
  return rows;
}

std::vector<Finding> CheckReversePath(const DoctorSubject& subject) {
  std::vector<Finding> rows;
  const bool tunnels = std::any_of(subject.policies.begin(), subject.policies.end(),
                                   [](const Json& policy) { return ProtectsByTunnel(policy); });
  if (!tunnels) return rows;
  for (const Json& device : subject.devices) {
    const std::string name = Text(device, "name");
    const auto found = subject.host.reverse_path.find(name);
    if (found == subject.host.reverse_path.end()) {
      rows.push_back({.level = Level::kUnknown,
                      .text = fmt::format("cannot read the reverse path filter of {}", name),
                      .advice = fmt::format("run: sysctl net.ipv4.conf.{}.rp_filter", name)});
    } else if (found->second == 1) {
      rows.push_back(
          {.level = Level::kNote,
           .text = fmt::format("{}: strict: the kernel drops an opened packet if the host "
                               "has no route back to its source by {}",
                               name, name),
           .advice = fmt::format("route the far networks by {}, or: sysctl -w "
                                 "net.ipv4.conf.{}.rp_filter=2",
                                 name, name)});
    }
  }
  return rows;
}

}  // namespace cygnet
