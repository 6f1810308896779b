#include "datapath/flow_decision.h"

#include <algorithm>
#include <array>

#include "base/endian.h"
#include "datapath/per_cpu.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

bool HasMode(const Template& tmpl, SaMode mode) { return tmpl.mode == static_cast<uint8_t>(mode); }

// Tunnel and BEET: the SA's addresses are the template's. Transport: they are the protected
// packet's.
bool HasOwnAddresses(const Template& tmpl) { return !HasMode(tmpl, SaMode::kTransport); }

// Addresses of the packet after the preceding transforms.
struct Ends {
  IpAddress saddr;
  IpAddress daddr;
  IpFamily family = IpFamily::kUnspec;
};

// The query for the SA that a template of the policy needs (kernel: xfrm_tmpl_resolve_one).
Sad::OutboundQuery QueryFor(const Template& tmpl, const Ends& ends, const PolicySpec& policy) {
  Sad::OutboundQuery query{.reqid = tmpl.reqid,
                           .mode = static_cast<SaMode>(tmpl.mode),
                           .proto = tmpl.proto,
                           .family = tmpl.family,
                           .spi = tmpl.spi,
                           .daddr = tmpl.daddr,
                           .saddr = tmpl.saddr,
                           .packet_device = PacketDeviceOf(policy.offload),
                           .if_id = policy.if_id,
                           .mark = policy.mark_value & policy.mark_mask};
  if (!HasOwnAddresses(tmpl)) {
    query.family = ends.family;
    query.daddr = ends.daddr;
    query.saddr = ends.saddr;
  }
  return query;
}

FlowDecision Drop(DropReason reason) { return {.action = FlowAction::kDrop, .reason = reason}; }

FlowDecision Bypass() { return {.action = FlowAction::kBypass}; }

FlowDecision With(const PolicyMatch& match, FlowDecision decision) {
  decision.policy = match.first;
  decision.second = match.second;
  return decision;
}

// True if the SA fulfils the template for a packet of the tunnel `if_id` (kernel: xfrm_state_ok,
// xfrm_state_addr_cmp). A reqid of 0 in the template is a wildcard here, unlike on output.
bool Fulfils(const Template& tmpl, const Sa& sa, uint32_t if_id) {
  const SaSpec& spec = sa.spec();
  if (if_id != 0 && spec.if_id != if_id) return false;
  if (tmpl.proto != spec.proto || tmpl.mode != static_cast<uint8_t>(spec.mode)) return false;
  if (tmpl.spi.value != 0 && tmpl.spi != spec.spi) return false;
  if (tmpl.reqid.value != 0 && tmpl.reqid != spec.reqid) return false;
  if (!HasOwnAddresses(tmpl)) return true;
  if (tmpl.family != spec.family) return false;
  return (tmpl.daddr.IsAny() || tmpl.daddr == spec.daddr) &&
         (tmpl.saddr.IsAny() || tmpl.saddr == spec.saddr);
}

bool IsTransport(const Sa& sa) { return sa.spec().mode == SaMode::kTransport; }

// With a SUB and a MAIN policy over IPv6, transport mode comes first, regardless of the policy it
// belongs to (kernel: xfrm_tmpl_sort, xfrm_state_sort).
template <typename T, typename IsInner>
void SortPair(const PolicyMatch& match, IpFamily family, std::span<T> items, IsInner is_inner) {
  if (match.second == nullptr || family != IpFamily::kV6) return;
  std::size_t inner = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!is_inner(items[i])) continue;
    std::rotate(items.begin() + static_cast<std::ptrdiff_t>(inner),
                items.begin() + static_cast<std::ptrdiff_t>(i),
                items.begin() + static_cast<std::ptrdiff_t>(i + 1));
    ++inner;
  }
}

struct TemplateList {
  std::array<const Template*, kMaxTemplates> items{};
  std::size_t size = 0;
  std::span<const Template*> all() { return {items.data(), size}; }
};

// REQUIRES: match.templates() ≤ kMaxTemplates.
TemplateList TemplatesOf(const PolicyMatch& match, IpFamily family) {
  TemplateList list;
  while (list.size < match.templates()) {
    list.items[list.size] = &match.at(list.size);
    ++list.size;
  }
  SortPair(match, family, list.all(),
           [](const Template* t) { return HasMode(*t, SaMode::kTransport); });
  return list;
}

// Checks the templates, outermost (last) first, against the SAs that opened the packet, outermost
// first (kernel: xfrm_policy_ok). A transport SA without a template is accepted. A tunnel SA
// without a template is not.
DropReason CheckTemplates(const PolicyMatch& match, const FlowKey& flow,
                          std::span<const Sa* const> secpath) {
  if (match.templates() > kMaxTemplates) return DropReason::kInTemplateMismatch;
  const TemplateList templates = TemplatesOf(match, flow.family);
  std::size_t next = 0;
  for (std::size_t i = templates.size; i-- > 0;) {
    const Template& tmpl = *templates.items[i];
    if (tmpl.optional && HasMode(tmpl, SaMode::kTransport)) continue;
    std::size_t at = next;
    const auto fulfils = [&](std::size_t n) { return Fulfils(tmpl, *secpath[n], flow.if_id); };
    while (at < secpath.size() && !fulfils(at) && IsTransport(*secpath[at])) ++at;
    if (at < secpath.size() && fulfils(at)) {
      next = at + 1;
    } else if (!tmpl.optional) {
      return DropReason::kInTemplateMismatch;
    }
  }
  for (std::size_t i = next; i < secpath.size(); ++i) {
    if (!IsTransport(*secpath[i])) return DropReason::kInTemplateMismatch;
  }
  return DropReason::kNone;
}

// Where a packet leaves: by which interface, and on which CPU.
struct Exit {
  int32_t ifindex = 0;
  std::optional<uint32_t> cpu{};
};

// Resolves the templates of one policy and appends the SAs to the chain of `decision`. Sets
// `acquire` if key management must be asked. Returns false if a required SA is missing.
bool ResolveTemplates(const DataPath& path, const FlowKey& flow, const Exit& exit,
                      const Policy& policy, FlowDecision* decision) {
  Ends ends{flow.saddr, flow.daddr, flow.family};
  for (const Template& tmpl : policy.spec.templates) {
    Sad::OutboundQuery query = QueryFor(tmpl, ends, policy.spec);
    query.ifindex = exit.ifindex;
    query.cpu = exit.cpu;
    OutboundSa* sa = path.sad.ResolveOutbound(query, flow);
    if (sa == nullptr && path.sad.HasInboundOnly(query)) {
      decision->reason = DropReason::kOutWrongDirection;
      return false;
    }
    if (sa == nullptr) {
      decision->acquire = true;
      if (tmpl.optional) continue;  // "level use": in clear, but key management is asked
      return false;
    }
    decision->chain.sas[decision->chain.size++] = sa;
    if (LacksOwnSa(policy.spec, sa->sa->spec(), exit.cpu)) decision->wants_own = true;
    if (HasOwnAddresses(tmpl)) ends = {sa->sa->spec().saddr, sa->sa->spec().daddr, sa->family};
  }
  return true;
}

void ResolveMatch(const DataPath& path, const FlowKey& flow, const Exit& exit,
                  const PolicyMatch& match, FlowDecision* decision) {
  if (match.templates() > kMaxTemplates) return;
  for (const Policy* policy : {match.first, match.second}) {
    if (policy != nullptr && !ResolveTemplates(path, flow, exit, *policy, decision)) return;
  }
  SaChain& chain = decision->chain;
  SortPair(match, flow.family, std::span(chain.sas.data(), chain.size),
           [](const OutboundSa* sa) { return sa->mode == SaMode::kTransport; });
  decision->action = chain.size > 0 ? FlowAction::kProtect : FlowAction::kBypass;
  decision->reason = DropReason::kNone;
}

// The policy of a socket of this host, which takes precedence over the SPD (kernel:
// xfrm_sk_policy_lookup). Forwarded packets may have the same ports, so the own address must match
// too. A later fragment shows no ports; it never matches, because no socket has port 0.
Policy* OwnSocketPolicy(const DataPath& path, PolicyDirection direction, const FlowKey& flow,
                        int32_t ifindex) {
  // A tunnel interface does not know the sockets of its packets (kernel: xfrmi_xmit2, vti_xmit).
  if (path.socket_policies.Empty() || flow.of_tunnel()) return nullptr;
  const IpAddress& own = direction == PolicyDirection::kOut ? flow.saddr : flow.daddr;
  // A socket's packet never has a group or loopback source address.
  if (!path.host_addresses().Contains(own, flow.family) || !IsOneHost(flow.saddr, flow.family)) {
    return nullptr;
  }
  Policy* const found = path.socket_policies.Find(direction, flow, ifindex);
  // At these ports only IKE passes by it, which a flow does not show (AlwaysPasses): other programs
  // may share the port, and masquerading keeps the port of others' packets.
  const uint16_t own_port = direction == PolicyDirection::kOut ? flow.sport : flow.dport;
  const bool ike = flow.proto == kProtoUdp && (own_port == kPortIke || own_port == kPortIkeNatT);
  return ike && found != nullptr && found->spec.action == PolicyAction::kAllow ? nullptr : found;
}

// True if another host sent the packet and this one forwards it. The unspecified address counts as
// the host's own: the host uses it before it has an address.
bool IsForwarded(const DataPath& path, const FlowKey& flow) {
  return !flow.saddr.IsAny() && !path.host_addresses().Contains(flow.saddr, flow.family);
}

// The SAs that opened the packet are not known here. A packet from the wire was checked with its
// SAs when it arrived (DecideInbound), so a template counts as fulfilled if a matching inbound SA
// exists. Without one, the packet came in clear.
bool MayHaveComeBy(const DataPath& path, const PolicyMatch& match) {
  for (std::size_t i = 0; i < match.templates(); ++i) {
    const Template& tmpl = match.at(i);
    if (tmpl.optional) continue;
    if (!HasOwnAddresses(tmpl) || !path.sad.HasInbound(QueryFor(tmpl, {}, {}))) return false;
  }
  return true;
}

// Policies of direction fwd apply to everything that this host forwards, also on the way out
// (kernel: ip_forward checks them, then the route look-up checks those of direction out). Returns
// kNone if the packet may pass.
DropReason AskForward(const DataPath& path, const IpPacketView& ip, int32_t ifindex,
                      PolicyMatch* match) {
  constexpr PolicyDirection kForward = PolicyDirection::kForward;
  if (path.spd.Idle(kForward) || !IsForwarded(path, ip.flow)) return DropReason::kNone;
  // The tunnel that it leaves by is not the one that it came by. Which that was, nothing shows.
  FlowKey flow = ip.flow;
  flow.SetTunnel(0, 0);
  *match = path.spd.Lookup(kForward, flow, ifindex);
  if (ip.later_fragment && path.spd.PortsMightDecide(kForward, flow, ifindex, *match)) {
    return DropReason::kOutFragment;
  }
  if (!match->any()) {
    return path.spd.DefaultAction(kForward) == PolicyAction::kBlock ? DropReason::kInNoPolicy
                                                                    : DropReason::kNone;
  }
  if (match->blocks()) return DropReason::kInPolicyBlock;
  return MayHaveComeBy(path, *match) ? DropReason::kNone : DropReason::kInTemplateMismatch;
}

FlowDecision Resolve(const DataPath& path, const IpPacketView& ip, const Exit& exit,
                     const PolicyMatch& match) {
  const int32_t ifindex = exit.ifindex;
  if (Policy* own = OwnSocketPolicy(path, PolicyDirection::kOut, ip.flow, ifindex)) {
    const PolicyMatch of_socket{.first = own};
    return With(of_socket, of_socket.blocks() ? Drop(DropReason::kOutPolicyBlock) : Bypass());
  }
  // RFC 4301 section 7: the host has already cut the datagram, so only its first fragment shows the
  // ports. A packet that cannot be decided is dropped.
  if (ip.later_fragment &&
      path.spd.PortsMightDecide(PolicyDirection::kOut, ip.flow, ifindex, match)) {
    return Drop(DropReason::kOutFragment);
  }
  if (!match.any() && ip.flow.of_tunnel()) return Drop(DropReason::kOutNoTunnelPolicy);
  if (!match.any()) {
    return path.spd.DefaultAction(PolicyDirection::kOut) == PolicyAction::kAllow
               ? Bypass()
               : Drop(DropReason::kOutPolicyBlock);
  }
  if (match.blocks()) return With(match, Drop(DropReason::kOutPolicyBlock));
  if (match.templates() == 0) return With(match, Bypass());
  FlowDecision decision = With(match, Drop(DropReason::kOutNoState));
  ResolveMatch(path, ip.flow, exit, match, &decision);
  return decision;
}

// `flow`: without ports, as a later fragment shows it.
bool PortsOfForwardMatter(const DataPath& path, FlowKey flow, int32_t ifindex) {
  constexpr PolicyDirection kForward = PolicyDirection::kForward;
  flow.SetTunnel(0, 0);  // as AskForward
  if (path.spd.Idle(kForward) || !IsForwarded(path, flow)) return false;
  const PolicyMatch match = path.spd.Lookup(kForward, flow, ifindex);
  return path.spd.PortsMightDecide(kForward, flow, ifindex, match);
}

}  // namespace

uint64_t DecisionStamp(const DataPath& path) {
  return path.generation() << 32 | path.spd.version();
}

FlowDecision DecideOutbound(const DataPath& path, const IpPacketView& ip, int32_t ifindex,
                            std::optional<uint32_t> cpu) {
  const uint64_t stamp = DecisionStamp(path);  // before the look-ups, which may see newer tables
  PolicyMatch match;
  if (!path.PolicyIdle()) match = path.spd.Lookup(PolicyDirection::kOut, ip.flow, ifindex);
  return DecideOutbound(path, ip, ifindex, cpu, match, stamp);
}

FlowDecision DecideOutbound(const DataPath& path, const IpPacketView& ip, int32_t ifindex,
                            std::optional<uint32_t> cpu, const PolicyMatch& match, uint64_t stamp) {
  PolicyMatch forward;
  const DropReason stopped = AskForward(path, ip, ifindex, &forward);
  FlowDecision decision =
      stopped == DropReason::kNone ? Resolve(path, ip, {ifindex, cpu}, match) : Drop(stopped);
  // Nothing leaves a tunnel interface in clear, whatever policy or default would let it (kernel:
  // xfrmi_xmit2 and vti_xmit demand an SA).
  if (ip.flow.of_tunnel() && decision.action == FlowAction::kBypass) {
    decision.action = FlowAction::kDrop;
    decision.reason = DropReason::kOutNoTunnelPolicy;
  }
  decision.forward = forward;
  decision.stamp = stamp;
  return decision;
}

bool HoldsForPolicy(const DataPath& path, const FlowDecision& decision) {
  if (decision.action != FlowAction::kProtect || decision.acquire || decision.second != nullptr ||
      !path.spd.Idle(PolicyDirection::kForward)) {
    return false;
  }
  // A newer SA that chooses its flows may be for others than this one.
  if (path.sad.any_of_some_flows()) return false;
  const Templates& templates = decision.policy->spec.templates;
  return std::all_of(templates.begin(), templates.end(), HasOwnAddresses);
}

std::optional<Sad::OutboundQuery> FirstOutboundQuery(const PolicyMatch& match,
                                                     const FlowKey& flow) {
  if (match.templates() == 0) return std::nullopt;
  const Policy& policy = match.first->spec.templates.empty() ? *match.second : *match.first;
  return QueryFor(match.at(0), {flow.saddr, flow.daddr, flow.family}, policy.spec);
}

bool NeedsWholeDatagram(const DataPath& path, const IpPacketView& ip, int32_t ifindex) {
  if (!ip.fragment || path.PolicyIdle()) return false;
  // IKE of this host, and traffic of its sockets that have policies, are recognized by their ports.
  if (((path.ike_bypass && ip.flow.proto == kProtoUdp) ||
       path.socket_policies.AnyOf(ip.flow.proto)) &&
      path.host_addresses().Contains(ip.flow.saddr, ip.flow.family)) {
    return true;
  }
  FlowKey flow = ip.flow;  // as a later fragment shows it
  flow.sport = 0;
  flow.dport = 0;
  if (PortsOfForwardMatter(path, flow, ifindex)) return true;
  const PolicyMatch match = path.spd.Lookup(PolicyDirection::kOut, flow, ifindex);
  if (path.spd.PortsMightDecide(PolicyDirection::kOut, flow, ifindex, match)) return true;
  if (match.blocks() || match.templates() == 0 || match.templates() > kMaxTemplates) return false;
  return !HasMode(*TemplatesOf(match, flow.family).items[0], SaMode::kTunnel);
}

FlowDecision DecideInbound(const DataPath& path, const FlowKey& flow, int32_t ifindex,
                           std::span<const Sa* const> secpath) {
  bool tunnelled = false;
  for (const Sa* sa : secpath) {
    if (!sa->Admits(flow, ifindex)) {
      return Drop(DropReason::kInSelectorMismatch);
    }
    tunnelled = tunnelled || !IsTransport(*sa);
  }
  const PolicyDirection direction = path.host_addresses().Contains(flow.daddr, flow.family)
                                        ? PolicyDirection::kIn
                                        : PolicyDirection::kForward;
  PolicyMatch match{.first = OwnSocketPolicy(path, direction, flow, ifindex)};
  if (!match.any()) match = path.spd.Lookup(direction, flow, ifindex);
  if (!match.any()) {
    const bool block = path.spd.DefaultAction(direction) == PolicyAction::kBlock;
    return block || tunnelled ? Drop(DropReason::kInNoPolicy) : Bypass();
  }
  if (match.blocks()) return With(match, Drop(DropReason::kInPolicyBlock));
  const DropReason reason = CheckTemplates(match, flow, secpath);
  return With(match, reason == DropReason::kNone ? Bypass() : Drop(reason));
}

}  // namespace cygnet
