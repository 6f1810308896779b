#include "control/inside_prefixes.h"

#include <algorithm>

#include "sa/sa_spec.h"

namespace cygnet {
namespace {

AddressPrefix MakePrefix(const IpAddress& address, IpFamily family, uint8_t bits) {
  return {.address = Masked(address, bits), .family = family, .bits = bits};
}

// A policy that may decide about packets of the device that no tunnel interface sent.
bool Concerns(const PolicySpec& spec, const InsideQuestion& question) {
  const Selector& s = spec.selector;
  return spec.direction == PolicyDirection::kOut && s.family == question.family &&
         (spec.unmet || spec.IsFor(0, 0)) && (s.ifindex == 0 || s.ifindex == question.ifindex) &&
         PrefixMatches(s.saddr, question.source, s.prefixlen_s);
}

bool IsWhole(const PolicySpec& spec) {
  const Selector& s = spec.selector;
  return s.proto == 0 && s.dport_mask == 0 && s.sport_mask == 0;
}

// Every packet that the policy decides about is protected by an SA that names its far end, and so
// its next hop.
bool Protects(const PolicySpec& spec) {
  return !spec.blocks() && !spec.templates.empty() && spec.templates.size() <= kMaxTemplates &&
         spec.templates.back().mode != static_cast<uint8_t>(SaMode::kTransport) &&
         std::none_of(spec.templates.begin(), spec.templates.end(),
                      [](const Template& t) { return t.optional; });
}

bool IsClosed(const PolicySpec& spec) { return spec.blocks() || Protects(spec); }

struct Node {
  std::vector<const Policy*> policies;
};
using Nodes = std::map<AddressPrefix, Node, PrefixOrder>;

// The address after the last of the prefix; nullopt: there is none.
std::optional<IpAddress> AddressAfter(const AddressPrefix& prefix) {
  IpAddress next = prefix.address;
  uint32_t carry_bit = prefix.bits;
  if (carry_bit == 0) return std::nullopt;
  for (std::size_t i = (carry_bit - 1) / 8 + 1; i-- > 0;) {
    const uint32_t step = i == (carry_bit - 1) / 8 ? 1u << (7 - (carry_bit - 1) % 8) : 1u;
    const uint32_t sum = next.bytes[i] + step;
    next.bytes[i] = static_cast<uint8_t>(sum);
    if (sum <= 0xff) return next;
  }
  return std::nullopt;
}

enum class Answer : uint8_t { kOpen, kUnclear, kTaken };

// The policies of a place in their order. kUnclear: a protecting policy cannot be relied on.
Answer Judge(std::vector<const Policy*> policies) {
  std::sort(policies.begin(), policies.end(),
            [](const Policy* a, const Policy* b) { return Before(*a, *b); });
  const bool any = std::any_of(policies.begin(), policies.end(), [](const Policy* p) {
    return !p->spec.blocks() && !p->spec.templates.empty();
  });
  const Answer otherwise = any ? Answer::kUnclear : Answer::kOpen;
  for (const Policy* policy : policies) {
    if (!IsClosed(policy->spec)) return otherwise;
    if (!IsWhole(policy->spec)) continue;
    return Protects(policy->spec) ? Answer::kTaken : Answer::kOpen;
  }
  return otherwise;
}

// Nodes that enclose the present one, outermost first.
class Enclosing {
 public:
  void Enter(Nodes::const_iterator node) {
    while (!stack_.empty() &&
           !stack_.back()->first.Contains(node->first.address, node->first.family)) {
      stack_.pop_back();
    }
    stack_.push_back(node);
  }
  std::vector<const Policy*> Policies() const {
    std::vector<const Policy*> all;
    for (const auto& node : stack_) {
      all.insert(all.end(), node->second.policies.begin(), node->second.policies.end());
    }
    return all;
  }

 private:
  std::vector<Nodes::const_iterator> stack_;
};

std::optional<IpAddress> SampleOf(const Nodes& nodes, Nodes::const_iterator node) {
  IpAddress sample = node->first.address;
  for (auto inner = std::next(node); inner != nodes.end(); ++inner) {
    const AddressPrefix& prefix = inner->first;
    if (!node->first.Contains(prefix.address, prefix.family)) break;
    if (!prefix.Contains(sample, prefix.family)) {
      if (sample < prefix.address) break;  // a gap
      continue;                            // within what was skipped
    }
    const auto after = AddressAfter(prefix);
    if (!after || !node->first.Contains(*after, prefix.family)) return std::nullopt;
    sample = *after;
  }
  return sample;
}

}  // namespace

InsideRules MakeInsideRules(const PolicyList& policies, const InsideQuestion& question,
                            std::span<const AddressPrefix> cuts) {
  InsideRules made;
  Nodes nodes;
  bool sub = false;
  for (const auto& policy : policies) {
    const Selector& s = policy->spec.selector;
    if (!Concerns(policy->spec, question)) continue;
    sub = sub || policy->spec.type == PolicyType::kSub;  // two policies may apply together
    nodes[MakePrefix(s.daddr, s.family, s.prefixlen_d)].policies.push_back(policy.get());
  }
  if ((nodes.empty() || sub) && !question.tunnels) return made;
  for (const AddressPrefix& cut : cuts) {
    if (cut.family == question.family) (void)nodes[cut];
  }
  Enclosing enclosing;
  for (auto node = nodes.cbegin(); node != nodes.cend(); ++node) {
    enclosing.Enter(node);
    const Answer answer = sub ? Answer::kOpen : Judge(enclosing.Policies());
    if (answer == Answer::kUnclear && !node->second.policies.empty()) ++made.left_to_host;
    const bool take = answer == Answer::kTaken;
    const bool asked = take || question.tunnels;
    made.rules.push_back(
        {.to = node->first, .take = take, .sample = asked ? SampleOf(nodes, node) : std::nullopt});
  }
  return made;
}

namespace {

// A later step of the same address is of a longer prefix, or of the one around one that ended.
void AddStep(const IpAddress& first, const InsideWay& way, std::vector<InsideStep>* steps) {
  const InsideStep step{.first = first, .taken = way.largest != 0, .tunnel = way.tunnel};
  if (!steps->empty() && steps->back().first == first) {
    steps->back() = step;
  } else {
    steps->push_back(step);
  }
}

}  // namespace

std::vector<InsideStep> MakeInsideSteps(const InsideWays& ways) {
  std::vector<InsideStep> steps;
  const bool tunnels =
      std::any_of(ways.begin(), ways.end(), [](const auto& way) { return way.second.tunnel != 0; });
  if (!tunnels) return steps;
  std::vector<InsideWays::const_iterator> around;  // outermost first
  const auto end_innermost = [&] {
    const auto after = AddressAfter(around.back()->first);
    around.pop_back();
    if (after) AddStep(*after, around.empty() ? InsideWay{} : around.back()->second, &steps);
  };
  AddStep(IpAddress{}, {}, &steps);
  for (auto way = ways.begin(); way != ways.end(); ++way) {
    const AddressPrefix& to = way->first;
    while (!around.empty() && !around.back()->first.Contains(to.address, to.family)) {
      end_innermost();
    }
    around.push_back(way);
    AddStep(to.address, way->second, &steps);
  }
  while (!around.empty()) end_innermost();
  return steps;
}

std::vector<AddressPrefix> SourcePrefixes(const PolicyList& policies,
                                          const InsideQuestion& question) {
  std::vector<AddressPrefix> sources;
  for (const auto& policy : policies) {
    const Selector& s = policy->spec.selector;
    if (!Concerns(policy->spec, question)) continue;
    sources.push_back(MakePrefix(s.saddr, s.family, s.prefixlen_s));
  }
  std::sort(sources.begin(), sources.end(), PrefixOrder{});
  sources.erase(std::unique(sources.begin(), sources.end()), sources.end());
  return sources;
}

}  // namespace cygnet
