#include "control/why.h"

#include <net/if.h>

#include <algorithm>
#include <vector>

#include "control/open_fields.h"
#include "control/template_query.h"
#include "control/why_case.h"
#include "datapath/flow_decision.h"
#include "net/ip_protocol.h"

namespace cygnet {
Result<WhyReport> Why::Explain(const WhyQuery& query) const {
  WhyReport report;
  MtuQuery packet = query.packet;
  if (!query.dev.empty()) {
    CYGNET_RETURN_IF_ERROR(FindInterface(query.dev, &packet, &report));
    if (!report.inside.empty() && !packet.src) {
      return MakeError(Errc::kInvalid, "src: must name the host behind " + report.inside);
    }
  }
  const auto way = from_.mtu.FindWay(packet);
  if (!way) return way.error();
  report.mtu = way->report;
  if (way->device == nullptr) {
    if (way->host.outcome == HostWay::Outcome::kSends) {
      NotOurs(*way, &report);
    } else {
      Refused(*way, &report);
    }
    return report;
  }
  DescribeWay(*way, &report);
  Case of{.way = *way, .packet = packet, .report = &report, .decided = report.mtu.flow};
  const auto number =
      std::find_if(from_.path.interfaces.begin(), from_.path.interfaces.end(),
                   [&way](const Interface& i) { return i.ifindex == way->device->ifindex; });
  of.egress = static_cast<uint8_t>(number - from_.path.interfaces.begin());
  if (IsLinkMessage(&of) || Depends(&of)) return report;
  Decide(&of);
  AddAnswers(of);
  return report;
}

// Whether the packet leaves by it, or comes in by it: an inside interface.
Status Why::FindInterface(const std::string& name, MtuQuery* packet, WhyReport* report) const {
  for (const ControlDevice& device : from_.placement.devices().all()) {
    if (device.name == name) packet->ifindex = device.ifindex;
  }
  from_.tunnels.ForEach([&](const TunnelSpec& spec, int32_t ifindex) {
    if (spec.name == name) packet->ifindex = ifindex;
  });
  if (packet->ifindex != 0) return {};
  for (const auto& inside : from_.path.inside.interfaces()) {
    if (inside->name != name) continue;
    report->inside = name;
    packet->iif = name;
    return {};
  }
  for (const ControlDevice& device : from_.placement.devices().all()) {
    if (static_cast<int32_t>(if_nametoindex(name.c_str())) != device.ifindex) continue;
    return MakeError(Errc::kNoDevice,
                     Text("dev: the host calls the interface of device ", device.name, " \"", name,
                          "\" now: write dev ", device.name));
  }
  return MakeError(Errc::kNoDevice,
                   "dev: \"" + name + "\" is not a device, a tunnel or an inside interface");
}

// The host's own stack does not send it, or not always the same way.
void Why::Refused(const Way& way, WhyReport* report) const {
  const FlowKey& flow = report->mtu.flow;
  const std::string to = Text("a packet to ", ToString(flow.daddr, flow.family));
  const std::string& why = report->mtu.explanation;
  const char* step = "way";
  std::string text;
  switch (way.host.outcome) {
    case HostWay::Outcome::kKeeps:
      report->verdict = WhyVerdict::kNotOurs;
      text = Text("Cygnet does not see ", to, ": ", why, ".");
      break;
    case HostWay::Outcome::kDepends:
      report->verdict = WhyVerdict::kDepends;
      step = "open";
      text = Text("The way of ", to, " depends on what the question leaves open: ", why, ".");
      break;
    default:
      report->verdict = WhyVerdict::kHostDrops;
      text = Text("The host itself drops ", to, ": ", why, ".");
      break;
  }
  report->steps.push_back({.step = step, .ok = false, .text = text});
  AddNotes(way, report);
}

// For which packets else the way holds, or does not.
void Why::AddNotes(const Way& way, WhyReport* report) const {
  for (const std::string& note : way.host.notes) {
    report->steps.push_back({.step = "way", .ok = true, .text = note});
  }
}

void Why::NotOurs(const Way& way, WhyReport* report) const {
  const FlowKey& flow = report->mtu.flow;
  report->verdict = WhyVerdict::kNotOurs;
  report->steps.push_back(
      {.step = "way",
       .ok = false,
       .text = Text("Cygnet does not see a packet to ", ToString(flow.daddr, flow.family), ": ",
                    way.report.explanation, ".")});
  AddNotes(way, report);
  if (way.ifindex == 0 || flow.saddr.IsAny()) return;
  const PolicyMatch match = from_.path.spd.Lookup(PolicyDirection::kOut, flow, way.ifindex);
  if (match.templates() == 0) return;
  report->mtu.policy = match.first->spec;
  const std::string missed =
      way.host.encapsulation.empty()
          ? "it passes Cygnet by, in clear: route it by an interface of Cygnet's (cygnet doctor)."
          : "it leaves enclosed or changed, unprotected unless another policy protects that: route "
            "it without an encapsulation (cygnet doctor).";
  report->steps.push_back(
      {.step = "policy",
       .ok = false,
       .text = Upper(NameOf(match.first->spec)) + " would protect it, but " + missed});
}

void Why::DescribeWay(const Way& way, WhyReport* report) const {
  const FlowKey& flow = way.report.flow;
  std::string text = Text("A packet from ", ToString(flow.saddr, flow.family), " to ",
                          ToString(flow.daddr, flow.family));
  if (report->inside.empty()) report->inside = way.report.inside;
  if (!report->inside.empty()) {
    text += Text(", which comes from ", report->inside,
                 " and passes the host's own stack by if it is protected,");
  } else if (!way.host.came_name.empty()) {
    text += Text(", which comes in by ", way.host.came_name, ",");
  }
  if (!way.report.tunnel.empty()) {
    text += Text(" goes through tunnel ", way.report.tunnel, " and");
  }
  const LinkStatus link = way.device->wire_port->link();
  text += Text(" leaves by ", way.report.device);
  const bool up = link == LinkStatus::kUp;
  if (!up) text += Text(", but ", ExplainLink(*way.device));
  report->steps.push_back({.step = "way", .ok = up, .text = text + "."});
  AddNotes(way, report);
}

// Messages that a link needs pass whatever policies say (datapath/always_passes.h).
bool Why::IsLinkMessage(Case* of) const {
  const FlowKey& flow = of->flow();
  if (flow.family != IpFamily::kV6 || flow.of_tunnel()) return false;
  constexpr uint16_t kFirst = 133;     // router solicitation
  constexpr uint16_t kRedirect = 137;  // quotes a packet, and goes by policy
  const bool type_open = !of->packet.sport.has_value();
  if (!of->packet.proto.has_value() || (flow.proto == kProtoIcmpv6 && type_open)) {
    if (!from_.path.PolicyIdle()) {
      of->Say("open", "Neighbour discovery passes in clear in any case; the rest is for others.");
    }
    return false;
  }
  if (flow.proto != kProtoIcmpv6 || flow.sport < kFirst || flow.sport >= kRedirect ||
      flow.dport != 0) {
    return false;
  }
  of->Say("policy", "Neighbour discovery passes in clear, whatever policies say.");
  LeaveInClear(of);
  return true;
}

// True: policies and SAs choose by what the question leaves open, to different effects.
bool Why::Depends(Case* of) const {
  const OpenFields::Found open =
      OpenOutbound(from_.path, of->packet, of->flow(), of->way.device->ifindex);
  if (open.depends()) {
    of->report->verdict = WhyVerdict::kDepends;
    of->report->mtu.open = open.fields;
    of->Say("open", open.text, false);
    return true;
  }
  of->decided = open.example;
  if (open.several_policies) {
    of->Say("open",
            "Which policy applies depends on its protocol or ports; the effect is the "
            "same.");
  }
  const bool all_given = of->packet.proto && of->packet.sport && of->packet.dport;
  if (!all_given && !from_.path.socket_policies.Empty() &&
      from_.path.host_addresses().Contains(of->flow().saddr, of->flow().family)) {
    of->Say("open",
            "Sockets with policies of their own, such as those of IKE, go by these: pass "
            "proto, sport and dport to ask for one.");
  }
  return false;
}

void Why::Decide(Case* of) const {
  IpPacketView ip;
  ip.flow = of->flow();
  const int32_t ifindex = of->way.device->ifindex;
  of->decision = DecideOutbound(from_.path, ip, ifindex);
  const FlowDecision& decision = of->decision;
  const Policy* policy = decision.policy != nullptr ? decision.policy : decision.forward.first;
  if (policy != nullptr) of->report->mtu.policy = policy->spec;
  const bool own_ike = from_.path.ike_bypass && ip.flow.proto == kProtoUdp &&
                       !ip.flow.of_tunnel() &&
                       (ip.flow.sport == kPortIke || ip.flow.sport == kPortIkeNatT) &&
                       from_.path.IsOfIkeSocket(PolicyDirection::kOut, ip.flow, ifindex);
  if (own_ike) {
    of->Say("policy",
            "IKE messages of this socket pass in clear whatever policies say; the rest "
            "holds for its other packets.");
  }
  if (decision.action == FlowAction::kDrop && decision.acquire) return DescribeNoSa(of);
  if (decision.action == FlowAction::kDrop) {
    const std::string what = policy != nullptr ? Upper(NameOf(policy->spec)) + " applies"
                                               : std::string("No policy lets it pass");
    return of->Drop("policy", decision.reason, Text(what, ": ", Describe(decision.reason).text));
  }
  DescribePolicy(*of);
  if (decision.chain.size != 0) return Protect(of);
  if (!of->report->inside.empty()) of->report->inside.clear();  // only what is protected is taken
  LeaveInClear(of);
}

void Why::LeaveInClear(Case* of) const {
  if (!of->way.device->wire_port->link_up()) {
    return of->Drop("way", DropReason::kPortDown, Upper(ExplainLink(*of->way.device)));
  }
  MtuReport& mtu = of->report->mtu;
  of->report->verdict = WhyVerdict::kClear;
  MtuExplain::SetInnerMtu(mtu.wire_mtu, &mtu);
  of->Say("size", Text("It leaves in clear, up to ", mtu.inner_mtu, " bytes at a time",
                       LimitText(mtu), "."));
}

void Why::DescribePolicy(const Case& of) const {
  const FlowDecision& decision = of.decision;
  if (decision.forward.any()) {
    of.Say("forward", Text("Another host sent it; ", NameOf(decision.forward.first->spec),
                           " lets it through."));
  }
  if (decision.policy == nullptr) {
    return of.Say("policy", "No policy covers it, and the default is to let it pass.");
  }
  const std::string name = Upper(NameOf(decision.policy->spec));
  if (decision.chain.size != 0) return of.Say("policy", name + " protects it.");
  of.Say("policy",
         name + (decision.acquire ? " would protect it, but its SA is optional and missing."
                                  : " lets it pass in clear."));
}

// A policy protects it, and an SA is missing.
void Why::DescribeNoSa(Case* of) const {
  const PolicySpec& policy = of->decision.policy->spec;
  of->Say("policy", Upper(NameOf(policy)) + " protects it.");
  const bool waits = from_.path.hold_larval.load(std::memory_order_relaxed);
  std::string text = MissingText(*of);
  if (!waits) return of->Drop("sa", of->decision.reason, text);
  of->report->verdict = WhyVerdict::kWaits;
  of->report->drop = DropReason::kOutHoldTimeout;
  of->Say("sa", text + ": it waits for an SA (larval_drop is 0).", false);
}

// The first SA that the data path misses, what there is instead, and who is asked.
std::string Why::MissingText(const Case& of) const {
  const int32_t ifindex = of.way.device->ifindex;
  std::vector<Sad::OutboundQuery> queries =
      QueriesFor(of.decision.policy->spec, of.flow(), ifindex);
  if (of.decision.second != nullptr) {
    const auto outer = QueriesFor(of.decision.second->spec, of.flow(), ifindex);
    queries.insert(queries.end(), outer.begin(), outer.end());
  }
  const auto missing = std::find_if(queries.begin(), queries.end(), [&](const auto& query) {
    return from_.path.sad.ResolveOutbound(query, of.flow()) == nullptr;
  });
  if (missing == queries.end()) return "There is no SA for it";
  std::string text = Text("There is no SA to ", ToString(missing->daddr, missing->family),
                          " with reqid ", missing->reqid.value, " for it");
  bool asked = false;
  std::string instead;
  from_.path.sad.ForEach([&](const SaPtr& sa) {
    const SaSpec& spec = sa->spec();
    if (spec.daddr != missing->daddr || spec.proto != missing->proto ||
        spec.reqid != missing->reqid || spec.if_id != missing->if_id) {
      return;
    }
    if (sa->state() == SaState::kLarval) {
      asked = true;
    } else if (!sa->usable()) {
      instead = Text("; ", NameOf(*sa), " has expired");
    } else if (!sa->Admits(of.flow(), ifindex)) {
      instead = Text("; the selector of ", NameOf(*sa), " does not admit it");
    } else if (sa->packet_device() != missing->packet_device) {
      instead =
          Text("; ", NameOf(*sa), " and the policy do not name the same device for packet offload");
    }
  });
  text += instead;
  if (asked) return text + "; key management has been asked and has not answered yet";
  return text + (from_.announcer.WantsAcquire()
                     ? "; key management is asked (ACQUIRE)"
                     : "; nobody is asked, because no client listens for an ACQUIRE");
}

}  // namespace cygnet
