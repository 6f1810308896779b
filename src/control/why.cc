#include "control/why.h"

#include <algorithm>
#include <vector>

#include "control/template_query.h"
#include "control/why_case.h"
#include "datapath/flow_decision.h"
#include "net/ip_protocol.h"

namespace cygnet {
Result<WhyReport> Why::Explain(const WhyQuery& query) const {
  WhyReport report;
  MtuQuery packet = query.packet;
  if (!query.dev.empty()) {
    const auto ifindex = FindInterface(query.dev, &report);
    if (!ifindex) return ifindex.error();
    packet.ifindex = *ifindex;
    if (!report.inside.empty() && !packet.src) {
      return MakeError(Errc::kInvalid, "src: must name the host behind " + report.inside);
    }
  }
  const auto way = from_.mtu.FindWay(packet);
  if (!way) return way.error();
  report.mtu = way->report;
  if (way->device == nullptr) {
    NotOurs(*way, &report);
    return report;
  }
  DescribeWay(*way, &report);
  Case of{.way = *way, .report = &report};
  const auto number =
      std::find_if(from_.path.interfaces.begin(), from_.path.interfaces.end(),
                   [&way](const Interface& i) { return i.ifindex == way->device->ifindex; });
  of.egress = static_cast<uint8_t>(number - from_.path.interfaces.begin());
  Decide(&of);
  AddAnswers(of);
  return report;
}

// Of what leaves by it; of an inside interface, the device that its packets leave by.
Result<int32_t> Why::FindInterface(const std::string& name, WhyReport* report) const {
  const auto& devices = from_.placement.devices().all();
  for (const ControlDevice& device : devices) {
    if (device.name == name) return device.ifindex;
  }
  int32_t found = 0;
  from_.tunnels.ForEach([&](const TunnelSpec& spec, int32_t ifindex) {
    if (spec.name == name) found = ifindex;
  });
  if (found != 0) return found;
  for (const auto& inside : from_.path.inside.interfaces()) {
    if (inside->name != name) continue;
    report->inside = name;
    return devices[inside->device].ifindex;
  }
  return MakeError(Errc::kNoDevice,
                   "dev: \"" + name + "\" is not a device, a tunnel or an inside interface");
}

void Why::NotOurs(const Way& way, WhyReport* report) const {
  const FlowKey& flow = report->mtu.flow;
  report->verdict = WhyVerdict::kNotOurs;
  report->steps.push_back(
      {.step = "way",
       .ok = false,
       .text = Text("Cygnet does not see a packet to ", ToString(flow.daddr, flow.family), ": ",
                    way.report.explanation, ".")});
  if (way.ifindex == 0 || flow.saddr.IsAny()) return;
  const PolicyMatch match = from_.path.spd.Lookup(PolicyDirection::kOut, flow, way.ifindex);
  if (match.templates() == 0) return;
  report->mtu.policy = match.first->spec;
  report->steps.push_back(
      {.step = "policy",
       .ok = false,
       .text = Upper(NameOf(match.first->spec)) +
               " would protect it, but it passes Cygnet by, in clear: route it by an interface of "
               "Cygnet's (cygnet doctor)."});
}

void Why::DescribeWay(const Way& way, WhyReport* report) const {
  const FlowKey& flow = way.report.flow;
  std::string text = Text("A packet from ", ToString(flow.saddr, flow.family), " to ",
                          ToString(flow.daddr, flow.family));
  const InsideInterface* behind = from_.path.inside.WhereFrom({flow.saddr, flow.family});
  if (report->inside.empty() && behind != nullptr) report->inside = behind->name;
  if (!report->inside.empty()) {
    text += Text(", which comes from ", report->inside,
                 " and passes the host's own stack by if it is protected,");
  }
  if (!way.report.tunnel.empty()) {
    text += Text(" goes through tunnel ", way.report.tunnel, " and");
  }
  const LinkStatus link = way.device->wire_port->link();
  text += Text(" leaves by ", way.report.device);
  if (link == LinkStatus::kUp) {
    report->steps.push_back({.step = "way", .ok = true, .text = text + "."});
    return;
  }
  report->steps.push_back(
      {.step = "way",
       .ok = false,
       .text = Text(text, ", but ", cygnet::Explain(link, way.device->wire), ".")});
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
  DescribeOpenFields(*of);
  if (decision.action == FlowAction::kDrop && decision.acquire) return DescribeNoSa(of);
  if (decision.action == FlowAction::kDrop) {
    const std::string what = policy != nullptr ? Upper(NameOf(policy->spec)) + " applies"
                                               : std::string("No policy lets it pass");
    return of->Drop("policy", decision.reason, Text(what, ": ", Describe(decision.reason).text));
  }
  DescribePolicy(*of);
  if (decision.chain.size != 0) return Protect(of);
  if (!of->report->inside.empty()) of->report->inside.clear();  // only what is protected is taken
  const LinkStatus link = of->way.device->wire_port->link();
  if (link != LinkStatus::kUp) {
    return of->Drop("way", DropReason::kPortDown,
                    Upper(cygnet::Explain(link, of->way.device->wire)));
  }
  of->report->verdict = WhyVerdict::kClear;
  const uint32_t mtu = of->report->mtu.wire_mtu;
  of->report->mtu.inner_mtu = mtu;
  const uint32_t headers = of->flow().family == IpFamily::kV4 ? 40 : 60;
  of->report->mtu.tcp_mss = mtu > headers ? mtu - headers : 0;
  of->Say("size", Text("It leaves in clear, up to ", mtu, " bytes at a time."));
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

// A policy may select by what the query leaves open.
void Why::DescribeOpenFields(const Case& of) const {
  constexpr PolicyDirection kOut = PolicyDirection::kOut;
  const FlowKey& asked = of.flow();
  const int32_t ifindex = of.way.device->ifindex;
  const PolicyMatch match = from_.path.spd.Lookup(kOut, asked, ifindex);
  const auto differs = [&](uint8_t proto) {
    FlowKey flow = asked;
    flow.proto = proto;
    const PolicyMatch other = from_.path.spd.Lookup(kOut, flow, ifindex);
    const bool ports_open = flow.sport == 0 && flow.dport == 0;
    return other.first != match.first ||
           (ports_open && from_.path.spd.PortsMightDecide(kOut, flow, ifindex, other));
  };
  // Any protocol: a policy may select ICMPv6, GRE or SCTP as well as TCP.
  const auto some_protocol_differs = [&] {
    for (int proto = 1; proto <= 255; ++proto) {
      if (differs(static_cast<uint8_t>(proto))) return true;
    }
    return false;
  };
  if (asked.proto == 0 && some_protocol_differs()) {
    of.Say("policy", "Some policies select by protocol or port: pass proto, sport and dport.");
  } else if (asked.proto != 0 && differs(asked.proto)) {
    of.Say("policy", "Some policies select by port: pass sport and dport.");
  }
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
  from_.path.sad.ForEach([&](const std::shared_ptr<Sa>& sa) {
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
