#include "control/open_fields.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "control/why_text.h"
#include "datapath/flow_decision.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

// The halves of GRE's key count as ports.
bool HasPorts(uint8_t proto) {
  return proto == kProtoTcp || proto == kProtoUdp || proto == kProtoSctp || proto == kProtoDccp ||
         proto == kProtoUdpLite || proto == kProtoGre;
}
// Type and code take the places of ports.
bool HasType(uint8_t proto) {
  return proto == kProtoIcmp || proto == kProtoIcmpv6 || proto == kProtoMobility;
}

// The type of the message that is answered by one of this type.
uint16_t AskingType(uint16_t type) { return type == 0 ? 8 : type == 129 ? 128 : type; }

std::string ProtocolName(uint8_t proto) {
  switch (proto) {
    case kProtoTcp:
      return "tcp";
    case kProtoUdp:
      return "udp";
    case kProtoIcmp:
      return "icmp";
    case kProtoIcmpv6:
      return "icmpv6";
    case kProtoGre:
      return "gre";
    case kProtoSctp:
      return "sctp";
    default:
      return std::to_string(proto);
  }
}

std::string Listed(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i != 0) text += i + 1 == words.size() ? " and " : ", ";
    text += words[i];
  }
  return text;
}

}  // namespace

// Each flow that was tried, and which effect it has.
struct OpenFields::Grid {
  struct Outcome {
    Effect effect;
    FlowKey example;
  };
  std::vector<Outcome> outcomes{};
  std::map<std::tuple<uint8_t, uint16_t, uint16_t>, std::size_t> of{};

  std::size_t Add(const FlowKey& flow, const Effect& effect) {
    const auto known = std::find_if(outcomes.begin(), outcomes.end(),
                                    [&](const Outcome& o) { return o.effect == effect; });
    const auto number = static_cast<std::size_t>(known - outcomes.begin());
    if (known == outcomes.end()) outcomes.push_back({effect, flow});
    of[{flow.proto, flow.sport, flow.dport}] = number;
    return number;
  }
  // True if flows that differ in nothing else have different effects. The protocol decides as well
  // if one has ports and the other has none.
  template <typename Rest>
  bool Decides(Rest rest) const {
    std::map<decltype(rest(of.begin()->first)), std::size_t> first;
    for (const auto& [values, number] : of) {
      if (first.try_emplace(rest(values), number).first->second != number) return true;
    }
    return false;
  }
};

OpenFields::OpenFields(const MtuQuery& query, const FlowKey& flow) : flow_(flow) {
  proto_.open = !query.proto.has_value();
  const bool may_have = proto_.open || HasPorts(*query.proto) || HasType(*query.proto);
  sport_.open = may_have && !query.sport.has_value();
  dport_.open = may_have && !query.dport.has_value();
}

void OpenFields::Add(const Selector& selector, const FlowKey& seen, int32_t ifindex,
                     bool reversed) {
  Selector known = selector;  // what does not depend on an open field
  if (known.family == IpFamily::kUnspec) known.family = seen.family;
  if (proto_.open) known.proto = 0;
  if (reversed ? dport_.open : sport_.open) known.sport_mask = 0;
  if (reversed ? sport_.open : dport_.open) known.dport_mask = 0;
  if (!known.Matches(seen, ifindex)) return;
  if (proto_.open && selector.proto != 0) proto_.chosen.insert(selector.proto);
  const auto choose = [reversed](Axis* axis, uint16_t value, uint16_t mask) {
    if (!axis->open || mask == 0) return;
    axis->chosen.insert(value & mask);
    if (reversed) axis->chosen.insert(AskingType(value & mask));
  };
  choose(reversed ? &dport_ : &sport_, selector.sport, selector.sport_mask);
  choose(reversed ? &sport_ : &dport_, selector.dport, selector.dport_mask);
}

// One by which nothing chooses comes first.
std::vector<uint8_t> OpenFields::Protocols() const {
  if (!proto_.open) return {flow_.proto};
  const bool with_ports = (!sport_.open && flow_.sport != 0) || (!dport_.open && flow_.dport != 0);
  std::vector<uint8_t> protocols;
  const uint8_t icmp = flow_.family == IpFamily::kV4 ? kProtoIcmp : kProtoIcmpv6;
  for (const uint8_t other :
       {kProtoUdp, kProtoTcp, kProtoSctp, kProtoUdpLite, icmp, uint8_t{253}}) {
    if (proto_.chosen.count(other) == 0) {
      protocols.push_back(other);
      break;
    }
  }
  // A selector of ports alone is not one of protocols without ports.
  if (!with_ports && proto_.chosen.count(253) == 0) protocols.push_back(253);
  for (const uint16_t proto : proto_.chosen) {
    const auto number = static_cast<uint8_t>(proto);
    if (!with_ports || HasPorts(number) || HasType(number)) protocols.push_back(number);
  }
  return protocols;
}

std::vector<uint16_t> OpenFields::Values(const Axis& axis, uint8_t proto, uint16_t given) const {
  if (!HasPorts(proto) && !HasType(proto)) return {0};
  if (!axis.open) return {given};
  const uint16_t most = HasPorts(proto) ? 65'535 : 255;
  uint16_t other = HasPorts(proto) ? 40'000 : 254;
  while (axis.chosen.count(other) != 0 && other > 1) --other;
  std::vector<uint16_t> values = {other};
  for (const uint16_t value : axis.chosen) {
    if (value <= most) values.push_back(value);
  }
  return values;
}

// "proto tcp dport 80": of the fields that are open and chosen by.
std::string OpenFields::NameOf(const FlowKey& flow) const {
  std::vector<std::string> words;
  if (proto_.chosen.count(flow.proto) != 0) words.push_back("proto " + ProtocolName(flow.proto));
  if (flow.proto == kProtoGre &&
      (sport_.chosen.count(flow.sport) != 0 || dport_.chosen.count(flow.dport) != 0)) {
    words.push_back("key " + std::to_string(uint32_t{flow.sport} << 16 | flow.dport));
  }
  const bool ports = (HasPorts(flow.proto) && flow.proto != kProtoGre) || HasType(flow.proto);
  if (ports && sport_.chosen.count(flow.sport) != 0) {
    words.push_back("sport " + std::to_string(flow.sport));
  }
  if (ports && dport_.chosen.count(flow.dport) != 0) {
    words.push_back("dport " + std::to_string(flow.dport));
  }
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

OpenFields::Found OpenFields::Compare(const Decide& decide) const {
  constexpr std::size_t kMostTold = 4;
  Found found{.example = flow_};
  Grid grid;
  const void* by = nullptr;
  for (const uint8_t proto : Protocols()) {
    for (const uint16_t sport : Values(sport_, proto, flow_.sport)) {
      for (const uint16_t dport : Values(dport_, proto, flow_.dport)) {
        FlowKey flow = flow_;
        flow.proto = proto;
        flow.sport = sport;
        flow.dport = dport;
        const bool first = grid.of.empty();
        if (grid.of.size() == kMostFlows) {
          found.fields = {"proto", "sport", "dport"};
          found.text = "Too many policies or SAs choose by proto, sport and dport: pass them.";
          return found;
        }
        const Effect effect = decide(flow);
        if (first) {
          found.example = flow;
          by = effect.by;
        }
        found.several_policies = found.several_policies || effect.by != by;
        grid.Add(flow, effect);
      }
    }
  }
  if (grid.outcomes.size() < 2) return found;
  using Tried = std::tuple<uint8_t, uint16_t, uint16_t>;
  const bool by_proto =
      grid.Decides([](const Tried& v) { return std::pair(std::get<1>(v), std::get<2>(v)); });
  const bool by_sport =
      grid.Decides([](const Tried& v) { return std::pair(std::get<0>(v), std::get<2>(v)); });
  const bool by_dport =
      grid.Decides([](const Tried& v) { return std::pair(std::get<0>(v), std::get<1>(v)); });
  if (proto_.open && (by_proto || (!by_sport && !by_dport))) found.fields.emplace_back("proto");
  if (by_sport) found.fields.emplace_back("sport");
  if (by_dport) found.fields.emplace_back("dport");
  const bool key = !proto_.open && flow_.proto == kProtoGre;
  const std::string fields = key ? "key" : Listed(found.fields);
  found.text = Text("It depends on ", fields, ", which the question leaves open:");
  for (std::size_t i = 0; i < std::min(grid.outcomes.size(), kMostTold); ++i) {
    const Grid::Outcome& outcome = grid.outcomes[i];
    const std::string with = NameOf(outcome.example);
    found.text += Text(i == 0 ? "" : ";", " with ", with.empty() ? "other values" : with, ", ",
                       outcome.effect.text);
  }
  if (grid.outcomes.size() > kMostTold) found.text += "; and so on";
  found.text += Text(". Pass ", fields, ".");
  return found;
}

OpenFields::Found OpenOutbound(const DataPath& path, const MtuQuery& query, const FlowKey& flow,
                               int32_t ifindex) {
  OpenFields fields(query, flow);
  FlowKey forwarded = flow;  // as policies of direction fwd see it
  forwarded.SetTunnel(0, 0);
  for (const auto& policy : path.spd.List()) {
    const PolicySpec& spec = policy->spec;
    if (spec.direction == PolicyDirection::kIn) continue;
    const bool out = spec.direction == PolicyDirection::kOut;
    fields.Add(spec.selector, out ? flow : forwarded, ifindex, /*reversed=*/false);
  }
  path.sad.ForEach([&](const SaPtr& sa) {
    const Selector& selector = sa->spec().selector;
    if (!selector.SaysNothing()) fields.Add(selector, flow, ifindex, /*reversed=*/false);
  });
  return fields.Compare([&](const FlowKey& tried) -> OpenFields::Effect {
    IpPacketView ip;
    ip.flow = tried;
    const FlowDecision decision = DecideOutbound(path, ip, ifindex);
    const void* by = decision.policy != nullptr ? decision.policy : decision.forward.first;
    if (decision.action == FlowAction::kDrop) {
      return {Text("it is dropped (", Describe(decision.reason).name, ")"), by};
    }
    if (decision.chain.size == 0) return {"it leaves in clear", by};
    std::string text = "it is protected by ";
    for (uint8_t i = 0; i < decision.chain.size; ++i) {
      text += Text(i == 0 ? "" : " in ", NameOf(*decision.chain.sas[i]->sa));
    }
    return {text, by};
  });
}

}  // namespace cygnet
