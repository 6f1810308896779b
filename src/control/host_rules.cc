#include "control/host_rules.h"

#include <algorithm>
#include <utility>

#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr std::size_t kMostRules = 256;  // that one question looks at

class Comparison {
 public:
  explicit Comparison(const RuleSubject& subject) : of_(subject) {}

  RuleFindings Run() {
    const std::vector<RoutingRule> rules = of_.host.rules(of_.question.family);
    std::size_t looked_at = 0;
    for (const RoutingRule& rule : rules) {
      if (!MightApply(rule)) continue;
      if (++looked_at > kMostRules) {
        found_.notes.push_back("Only the first " + std::to_string(kMostRules) +
                               " routing rules were looked at.");
        break;
      }
      LookAt(rule);
    }
    return std::move(found_);
  }

 private:
  bool MightApply(const RoutingRule& rule) const;
  void LookAt(const RoutingRule& rule);
  void LookAtFlow(const RoutingRule& rule);
  void LookAtSource(const RoutingRule& rule);
  void Note(const std::string& note) {
    if (std::find(found_.notes.begin(), found_.notes.end(), note) == found_.notes.end()) {
      found_.notes.push_back(note);
    }
  }
  std::string WayOf(const RouteAnswer& answer) const {
    if (answer.kind == RouteKind::kUnicast || answer.kind == RouteKind::kBroadcast ||
        answer.kind == RouteKind::kMulticast) {
      return "leaves by " + of_.name_of(answer.ifindex);
    }
    return answer.kind == RouteKind::kLocalAddress ? "stays in this host" : "has no route";
  }
  std::string RuleText(const RoutingRule& rule) const {
    return "the routing rule of priority " + std::to_string(rule.priority);
  }

  const RuleSubject& of_;
  RuleFindings found_;
};

// False: what is known of the packet does not fit. An inverted rule might.
bool Comparison::MightApply(const RoutingRule& rule) const {
  if (rule.inverted) return true;
  const RouteQuestion& packet = of_.question;
  if (rule.to.bits != 0 && !rule.to.Contains(packet.daddr, packet.family)) return false;
  const bool source_known = of_.query.src.has_value();
  if (rule.from.bits != 0 && source_known && !rule.from.Contains(packet.saddr, packet.family)) {
    return false;
  }
  if (!rule.iif.empty() && rule.iif != (of_.came_name.empty() ? "lo" : of_.came_name)) return false;
  const bool proto_fits = rule.proto == 0 || of_.query.proto.value_or(rule.proto) == rule.proto;
  const auto fits = [](const RoutingRule::Ports& ports, const std::optional<uint16_t>& port) {
    return ports.last == 0 || !port.has_value() || ports.Has(*port);
  };
  return proto_fits && fits(rule.sport, of_.query.sport) && fits(rule.dport, of_.query.dport);
}

void Comparison::LookAt(const RoutingRule& rule) {
  const bool by_mark = rule.mark_mask != 0 && (of_.query.mark & rule.mark_mask) != rule.mark;
  const bool by_flow = rule.proto != 0 || rule.sport.last != 0 || rule.dport.last != 0;
  const bool by_source = rule.from.bits != 0 && !of_.query.src.has_value();
  if (rule.by_others || (rule.inverted && (by_flow || by_source))) {
    return Note("Not looked at: " + RuleText(rule) +
                ", which chooses by more than addresses, protocol and ports.");
  }
  if (by_mark) {
    RouteQuestion marked = of_.question;
    marked.mark = rule.mark;
    const RouteAnswer other = of_.host.route(marked);
    if (!other.SameWay(of_.answer)) {
      Note("This holds without a mark of the host's firewall; one with mark " +
           std::to_string(rule.mark) + " " + WayOf(other) + ".");
    }
    return;
  }
  if (by_flow) return LookAtFlow(rule);
  if (by_source) LookAtSource(rule);
}

// A rule by protocol or ports. The kernel asks as for UDP if it is not told the protocol.
void Comparison::LookAtFlow(const RoutingRule& rule) {
  const bool asks = rule.proto == 0 || rule.proto == kProtoTcp || rule.proto == kProtoUdp ||
                    rule.proto == kProtoIcmp || rule.proto == kProtoIcmpv6;
  const std::optional<uint8_t>& given = of_.query.proto;
  const bool told = !given || *given == kProtoTcp || *given == kProtoUdp || *given == kProtoIcmp ||
                    *given == kProtoIcmpv6;
  if (!asks || !told) {
    return Note("Not looked at: " + RuleText(rule) +
                ", because the kernel does not tell the route of this protocol.");
  }
  RouteQuestion chosen = of_.question;
  if (!given) chosen.proto = rule.proto != 0 ? rule.proto : uint8_t{kProtoUdp};
  if (!of_.query.sport && rule.sport.last != 0) chosen.sport = rule.sport.first;
  if (!of_.query.dport && rule.dport.last != 0) chosen.dport = rule.dport.first;
  RouteQuestion other = of_.question;
  if (!given && rule.proto == kProtoUdp) other.proto = kProtoTcp;
  const RouteAnswer with = of_.host.route(chosen);
  const RouteAnswer without = of_.host.route(other);
  if (with.SameWay(without)) return;
  const auto open = [this](const char* field, bool is_open) {
    if (is_open && std::find(found_.open.begin(), found_.open.end(), field) == found_.open.end()) {
      found_.open.emplace_back(field);
    }
  };
  open("proto", !given && rule.proto != 0);
  open("sport", !of_.query.sport && rule.sport.last != 0);
  open("dport", !of_.query.dport && rule.dport.last != 0);
  if (found_.open.empty() || !found_.text.empty()) return;
  found_.text = "what " + RuleText(rule) + " chooses " + WayOf(with) +
                ", what it does not choose " + WayOf(without);
}

// The host chose a source. One of its programs may choose another.
void Comparison::LookAtSource(const RoutingRule& rule) {
  for (const ParsedAddress& own : of_.own) {
    if (!rule.from.Contains(own.address, own.family) || own.address == of_.answer.source) continue;
    RouteQuestion from = of_.question;
    from.saddr = own.address;
    const RouteAnswer other = of_.host.route(from);
    if (other.SameWay(of_.answer)) continue;
    return Note("This holds for the source that the host chooses; a packet from " +
                ToString(own.address, own.family) + " " + WayOf(other) + " (" + RuleText(rule) +
                "): pass src.");
  }
}

}  // namespace

RuleFindings CompareRules(const RuleSubject& subject) { return Comparison(subject).Run(); }

}  // namespace cygnet
