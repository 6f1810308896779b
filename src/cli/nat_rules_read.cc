// Parses rules as nftables and iptables print them.
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <utility>

#include "cli/nat_rules.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

using Field = NatCondition::Field;
using Verdict = NatRule::Verdict;

// --- nftables ---

// Elements of sets, by "family table set".
using Sets = std::map<std::string, const Json*>;

struct NftContext {
  const Sets& sets;
  std::string place;  // "ip nat "
};

std::optional<AddressRange> RangeOf(const Json& value) {
  if (value.is_string()) return ParseRange(value.get<std::string>());
  if (const Json& prefix = Child(value, "prefix"); prefix.is_object() && !prefix.empty()) {
    return ParseRange(fmt::format("{}/{}", Word(prefix, "addr"), Number(prefix, "len")));
  }
  const Json& range = Child(value, "range");
  if (!range.is_array() || range.size() != 2 || !range[0].is_string() || !range[1].is_string()) {
    return std::nullopt;
  }
  return ParseRange(range[0].get<std::string>() + "-" + range[1].get<std::string>());
}

void AddValue(const Json& value, const NftContext& context, NatCondition* condition) {
  if (value.is_string() && value.get_ref<const std::string&>().starts_with("@")) {
    const auto set = context.sets.find(context.place + value.get<std::string>().substr(1));
    if (set == context.sets.end()) {
      condition->partly_unknown = true;
      return;
    }
    for (const Json& element : *set->second) AddValue(element, context, condition);
  } else if (value.is_array()) {
    for (const Json& element : value) AddValue(element, context, condition);
  } else if (value.is_object() && value.contains("set")) {
    AddValue(value["set"], context, condition);
  } else if (value.is_object() && value.contains("elem")) {
    AddValue(Child(value["elem"], "val"), context, condition);
  } else if (condition->field == Field::kOutInterface && value.is_string()) {
    condition->names.push_back(value.get<std::string>());
  } else if (const auto range =
                 value.is_string() || value.is_object() ? RangeOf(value) : std::nullopt) {
    condition->ranges.push_back(*range);
  } else {
    condition->partly_unknown = true;
  }
}

NatCondition ConditionOf(const Json& match, const NftContext& context) {
  NatCondition condition;
  const std::string op = Word(match, "op");
  const Json& left = Child(match, "left");
  if (!left.is_object() || (op != "==" && op != "!=" && op != "in")) return condition;
  const Json& right = Child(match, "right");
  const std::string key = Word(Child(left, "meta"), "key");
  const Json& payload = Child(left, "payload");
  const std::string protocol = Word(payload, "protocol");
  const std::string field = Word(payload, "field");
  condition.negated = op == "!=";
  if (key == "oif" || key == "oifname") {
    condition.field = Field::kOutInterface;
  } else if (key == "nfproto" && right.is_string()) {
    condition.field = Field::kFamily;
    condition.family = right == "ipv4" ? AF_INET : AF_INET6;
    return condition;
  } else if ((protocol == "ip" || protocol == "ip6") && (field == "saddr" || field == "daddr")) {
    condition.field = field == "saddr" ? Field::kSource : Field::kDestination;
    condition.family = protocol == "ip" ? AF_INET : AF_INET6;
  } else {
    return condition;
  }
  AddValue(right, context, &condition);
  return condition;
}

// One expression of a rule: a condition, a verdict, or neither.
void AddExpression(const std::string& key, const Json& value, const NftContext& context,
                   NatRule* rule) {
  constexpr std::array<std::string_view, 3> kAsksNothing = {"counter", "log", "mangle"};
  const std::string target = key == "xt" ? Word(value, "name") : "";
  if (key == "match") {
    rule->conditions.push_back(ConditionOf(value, context));
  } else if (key == "accept" || key == "drop" || key == "reject" || key == "queue") {
    rule->verdict = Verdict::kEnds;
  } else if (key == "return") {
    rule->verdict = Verdict::kReturns;
  } else if (key == "jump" || key == "goto") {
    rule->verdict = key == "jump" ? Verdict::kJumps : Verdict::kGoesTo;
    rule->target = Word(value, "target");
  } else if (key == "masquerade" || key == "snat" || target == "MASQUERADE" || target == "SNAT" ||
             target == "NETMAP") {
    rule->verdict = Verdict::kTranslates;
    rule->masquerades = key == "masquerade" || target == "MASQUERADE";
    if (key == "snat" && value.is_object()) rule->to = RangeOf(Child(value, "addr"));
    rule->text += ": " + (target.empty() ? key : target);
  } else if (std::find(kAsksNothing.begin(), kAsksNothing.end(), key) == kAsksNothing.end()) {
    rule->conditions.push_back({});
  }
}

NatRule RuleOf(const Json& entry, const NftContext& context) {
  NatRule rule;
  rule.text = fmt::format("table {} {}, chain {}, handle {}", Word(entry, "family"),
                          Word(entry, "table"), Word(entry, "chain"), Number(entry, "handle"));
  for (const Json& expression : Child(entry, "expr")) {
    if (!expression.is_object()) continue;
    for (const auto& [key, value] : expression.items()) AddExpression(key, value, context, &rule);
  }
  return rule;
}

std::vector<int> FamiliesOf(const std::string& family) {
  if (family == "ip") return {AF_INET};
  if (family == "ip6") return {AF_INET6};
  return family == "inet" ? std::vector<int>{AF_INET, AF_INET6} : std::vector<int>{};
}

// --- iptables ---

// The words of a line. Quoted text is one word.
std::vector<std::string> WordsOf(std::string_view line) {
  std::vector<std::string> words;
  bool quoted = false;
  bool open = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"') quoted = !quoted;
    if (c == '\\' && i + 1 < line.size()) ++i;
    if (!quoted && c == ' ') {
      open = false;
      continue;
    }
    if (!open) words.emplace_back();
    open = true;
    if (c != '"') words.back() += line[i];
  }
  return words;
}

// "192.0.2.1:1024-2048": the ports do not matter.
std::optional<AddressRange> WithoutPorts(const std::string& text) {
  const bool v4 = text.find('.') != std::string::npos;
  return ParseRange(v4 ? text.substr(0, text.find(':')) : text);
}

void SetTarget(const std::string& target, bool goes, NatRule* rule) {
  rule->target = target;
  rule->masquerades = target == "MASQUERADE";
  if (goes) {
    rule->verdict = Verdict::kGoesTo;
  } else if (target == "ACCEPT" || target == "DROP") {
    rule->verdict = Verdict::kEnds;
  } else if (target == "RETURN") {
    rule->verdict = Verdict::kReturns;
  } else if (rule->masquerades || target == "SNAT" || target == "NETMAP") {
    rule->verdict = Verdict::kTranslates;
  } else {
    rule->verdict = Verdict::kJumps;  // to a target that is not a chain: LOG, MARK
  }
}

// `words`: a whole line. The rule follows "-A CHAIN".
NatRule SavedRule(const std::vector<std::string>& words, int family, std::string text) {
  NatRule rule;
  rule.text = std::move(text);
  bool negated = false;
  for (std::size_t i = 2; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::string& value = i + 1 < words.size() ? words[i + 1] : word;
    NatCondition condition{.negated = std::exchange(negated, false), .family = family};
    if (word == "!") {
      negated = true;
    } else if (word == "-o") {
      condition.field = Field::kOutInterface;
      condition.names.push_back(value);
      rule.conditions.push_back(condition);
    } else if (word == "-s" || word == "-d") {
      const auto range = ParseRange(value);
      condition.field = word == "-s" ? Field::kSource : Field::kDestination;
      condition.partly_unknown = !range;
      if (range) condition.ranges.push_back(*range);
      rule.conditions.push_back(condition);
    } else if (word == "-j" || word == "-g") {
      SetTarget(value, word == "-g", &rule);
    } else if (word == "--to-source") {
      rule.to = WithoutPorts(value);
    } else if (word == "-i" || word == "-p" || (word == "-m" && value != "comment")) {
      rule.conditions.push_back({});  // not evaluated here
    }
  }
  return rule;
}

}  // namespace

std::vector<NatTable> ReadNatTables(const Json& ruleset) {
  Sets sets;
  std::map<std::string, NatTable> tables;
  for (const Json& item : Child(ruleset, "nftables")) {
    if (!item.is_object()) continue;
    for (const auto& [kind, entry] : item.items()) {
      if (!entry.is_object()) continue;
      const std::string family = Word(entry, "family");
      const std::string place = family + " " + Word(entry, "table") + " ";
      if (kind == "set") sets[place + Word(entry, "name")] = &Child(entry, "elem");
      if (kind != "chain" && kind != "rule") continue;
      NatTable& table = tables[place];
      table.families = FamiliesOf(family);
      if (kind == "rule") {
        table.rules[Word(entry, "chain")].push_back(RuleOf(entry, {sets, place}));
      } else if (Word(entry, "type") == "nat" && Word(entry, "hook") == "postrouting") {
        table.base_chains.push_back(Word(entry, "name"));
      }
    }
  }
  std::vector<NatTable> found;
  for (auto& [place, table] : tables) {
    if (!table.base_chains.empty()) found.push_back(std::move(table));
  }
  return found;
}

NatTable ReadSavedNat(std::string_view saved, int family) {
  NatTable table{.families = {family}, .rules = {}, .base_chains = {"POSTROUTING"}};
  std::istringstream lines{std::string(saved)};
  bool is_nat = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("*")) is_nat = line == "*nat";
    const std::vector<std::string> words = WordsOf(line);
    if (!is_nat || words.size() < 3 || words[0] != "-A") continue;
    table.rules[words[1]].push_back(SavedRule(words, family, "table nat: " + line));
  }
  return table;
}

}  // namespace cygnet
