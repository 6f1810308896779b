// Finds the rules that a packet of a policy would meet, by following the chains.
#include "cli/nat_rules.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <sstream>

#include "client/json_fields.h"

namespace cygnet {
namespace {

using Field = NatCondition::Field;
using Verdict = NatRule::Verdict;

// The share of the traffic that matches. A condition that cannot be evaluated counts as kSome.
enum class Fit : uint8_t { kNone, kSome, kAll };

Fit Negated(Fit fit) { return fit == Fit::kSome ? fit : fit == Fit::kAll ? Fit::kNone : Fit::kAll; }

// "nic0", "nic*" (nftables), "nic+" (iptables).
bool NameFits(const std::string& pattern, const std::string& name) {
  if (pattern.ends_with('*') || pattern.ends_with('+')) {
    return name.compare(0, pattern.size() - 1, pattern, 0, pattern.size() - 1) == 0;
  }
  return pattern == name;
}

Fit FitOf(const NatCondition& condition, const AddressRange& range) {
  Fit fit = condition.partly_unknown ? Fit::kSome : Fit::kNone;
  for (const AddressRange& wanted : condition.ranges) {
    if (wanted.Holds(range)) return Fit::kAll;
    if (wanted.Meets(range)) fit = Fit::kSome;
  }
  return fit;
}

class Walk {
 public:
  Walk(const NatTable& table, const PolicyTraffic& traffic, const OutDevice& device)
      : table_(table), traffic_(traffic), device_(device) {}

  // The rules that translate some of the traffic so that the policy no longer matches.
  std::vector<const NatRule*> Run() {
    for (const std::string& chain : table_.base_chains) Follow(chain, 0);
    return std::move(found_);
  }

 private:
  // True: no traffic returns from this chain.
  bool Follow(const std::string& name, int depth) {
    constexpr int kDeepest = 16;         // the kernel's limit
    constexpr int kMostSteps = 100'000;  // nested jumps multiply
    const auto chain = table_.rules.find(name);
    if (chain == table_.rules.end() || depth > kDeepest) return false;
    for (const NatRule& rule : chain->second) {
      if (++steps_ > kMostSteps) return false;
      const Fit fit = FitOf(rule);
      if (fit == Fit::kNone) continue;
      if (rule.verdict == Verdict::kTranslates && Defeats(rule)) found_.push_back(&rule);
      const bool goes_into = rule.verdict == Verdict::kJumps || rule.verdict == Verdict::kGoesTo;
      const bool ended = goes_into && Follow(rule.target, depth + 1);
      if (fit != Fit::kAll) continue;
      if (rule.verdict == Verdict::kReturns) return false;
      if (rule.verdict == Verdict::kGoesTo) return ended;
      if (ended || rule.verdict == Verdict::kEnds || rule.verdict == Verdict::kTranslates) {
        return true;
      }
    }
    return false;
  }

  Fit FitOf(const NatRule& rule) const {
    Fit fit = Fit::kAll;
    for (const NatCondition& condition : rule.conditions) fit = std::min(fit, FitOf(condition));
    return fit;
  }

  Fit FitOf(const NatCondition& condition) const {
    if (condition.field == Field::kOther) return Fit::kSome;
    // A match on the other family's header fails, negated or not.
    const bool other = condition.family != 0 && condition.family != traffic_.source.family;
    if (other && condition.field != Field::kFamily) return Fit::kNone;
    Fit fit = Fit::kNone;
    if (condition.field == Field::kFamily) fit = other ? Fit::kNone : Fit::kAll;
    if (condition.field == Field::kSource) fit = cygnet::FitOf(condition, traffic_.source);
    if (condition.field == Field::kDestination) {
      fit = cygnet::FitOf(condition, traffic_.destination);
    }
    if (condition.field == Field::kOutInterface) {
      fit = condition.partly_unknown ? Fit::kSome : Fit::kNone;
      for (const std::string& name : condition.names) {
        if (NameFits(name, device_.name)) fit = Fit::kAll;
      }
    }
    return condition.negated ? Negated(fit) : fit;
  }

  // A translation to another address inside the selector is harmless.
  bool Defeats(const NatRule& rule) const {
    if (!traffic_.by_source) return true;
    const AddressRange& source = traffic_.source;
    if (!rule.masquerades) return !rule.to || !source.Holds(*rule.to);
    std::size_t other = 0;
    std::size_t own = 0;
    for (const AddressRange& address : device_.addresses) {
      if (address.family != source.family) continue;
      ++(source.Holds(address) ? own : other);
    }
    return own == 0 || other != 0;
  }

  const NatTable& table_;
  const PolicyTraffic& traffic_;
  const OutDevice& device_;
  std::vector<const NatRule*> found_;
  int steps_ = 0;
};

// The word after `keyword` in, for example, "src 10.1.0.0/16 dst 10.2.0.0/16 proto 6".
std::string WordAfter(const std::string& text, const std::string& keyword) {
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (word == keyword && words >> word) return word;
  }
  return {};
}

std::optional<AddressRange> ParseAddress(const std::string& text) {
  AddressRange range;
  range.family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (inet_pton(range.family, text.c_str(), range.first.data()) != 1) return std::nullopt;
  range.last = range.first;
  return range;
}

// Clears the bits after the prefix in the first address and sets them in the last.
void Widen(unsigned prefix, AddressRange* range) {
  const unsigned bits = range->family == AF_INET ? 32 : 128;
  for (unsigned bit = prefix; bit < bits; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80u >> (bit % 8));
    range->first[bit / 8] = static_cast<uint8_t>(range->first[bit / 8] & ~mask);
    range->last[bit / 8] = static_cast<uint8_t>(range->last[bit / 8] | mask);
  }
}

}  // namespace

bool AddressRange::Holds(const AddressRange& other) const {
  return family == other.family && first <= other.first && other.last <= last;
}

bool AddressRange::Meets(const AddressRange& other) const {
  return family == other.family && first <= other.last && other.first <= last;
}

std::optional<AddressRange> ParseRange(const std::string& text) {
  const std::size_t slash = text.find('/');
  const std::size_t dash = text.find('-');
  auto range = ParseAddress(text.substr(0, std::min(slash, dash)));
  if (!range) return std::nullopt;
  if (dash != std::string::npos) {
    const auto end = ParseAddress(text.substr(dash + 1));
    if (!end || end->family != range->family) return std::nullopt;
    range->last = end->last;
  } else if (slash != std::string::npos) {
    unsigned prefix = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, prefix);
    if (error != std::errc() || stop != end) return std::nullopt;
    Widen(prefix, &*range);
  }
  return range;
}

std::vector<PolicyTraffic> TrafficOf(const std::vector<Json>& policies) {
  std::vector<PolicyTraffic> traffic;
  for (const Json& policy : policies) {
    const std::string direction = Text(policy, "dir");
    const bool blocks = Text(policy, "action") == "block";
    const bool out = direction == "out" && (blocks || !Child(policy, "templates").empty());
    // Direction fwd applies if the source address is not one of this host.
    if (!out && !(direction == "fwd" && blocks)) continue;
    const std::string selector = Text(policy, "selector");
    const auto source = ParseRange(WordAfter(selector, "src"));
    const std::string to = WordAfter(selector, "dst");
    const auto destination = ParseRange(to);
    if (!source || !destination) continue;
    traffic.push_back({.policy = "dir " + direction + " " + selector,
                       .to = to,
                       .source = *source,
                       .destination = *destination,
                       .by_source = out});
  }
  return traffic;
}

std::vector<NatFinding> FindTranslations(const NatTable& table,
                                         const std::vector<PolicyTraffic>& traffic,
                                         const std::vector<OutDevice>& devices) {
  std::vector<NatFinding> findings;
  std::map<const NatRule*, std::size_t> places;  // in `findings`
  for (const PolicyTraffic& policy : traffic) {
    const auto& families = table.families;
    if (std::find(families.begin(), families.end(), policy.source.family) == families.end()) {
      continue;
    }
    for (const OutDevice& device : devices) {
      for (const NatRule* rule : Walk(table, policy, device).Run()) {
        const auto [place, is_new] = places.emplace(rule, findings.size());
        if (is_new) findings.push_back({.rule = rule->text, .device = device.name, .defeats = {}});
        auto& defeats = findings[place->second].defeats;
        if (defeats.empty() || defeats.back() != &policy) defeats.push_back(&policy);
      }
    }
  }
  return findings;
}

}  // namespace cygnet
