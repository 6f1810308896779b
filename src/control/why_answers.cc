// `cygnet why`: whether what comes back would be let in.
#include <vector>

#include "control/open_fields.h"
#include "control/why_case.h"
#include "datapath/flow_decision.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

// The type of the ICMP message that answers this one: an echo reply; of others, the same.
uint16_t AnswerType(uint8_t proto, uint16_t type) {
  if (proto == kProtoIcmp && type == 8) return 0;
  if (proto == kProtoIcmpv6 && type == 128) return 129;
  return type;
}

DropReason StateOf(const Sa& sa) {
  const LifetimeLimits limits = sa.lifetime().limits();
  const LifetimeUsage usage = sa.lifetime().usage();
  if (usage.bytes >= limits.hard_bytes || usage.packets >= limits.hard_packets) {
    return DropReason::kInStateExpired;
  }
  const SaBinding* binding = sa.inbound()->binding.load(std::memory_order_acquire);
  if (binding == nullptr) return DropReason::kInStateInvalid;
  return binding->blocked() ? DropReason::kInBlocked : DropReason::kNone;
}

}  // namespace

// The flow of an answer, as it is after the SAs have opened it.
FlowKey Why::AnswerTo(const Case& of, const FlowKey& flow) const {
  FlowKey back = flow.Reversed();
  if (flow.proto == kProtoGre) {  // the key is the same in both directions
    back.sport = flow.sport;
    back.dport = flow.dport;
  }
  if (flow.proto == kProtoIcmp || flow.proto == kProtoIcmpv6) {
    back.sport = AnswerType(flow.proto, flow.sport);
    back.dport = flow.dport;
  }
  back.SetTunnel(0, 0);
  from_.tunnels.ForEach([&](const TunnelSpec& spec, int32_t) {
    if (spec.name == of.report->mtu.tunnel) back.SetTunnel(spec.if_id, spec.inbound_mark());
  });
  return back;
}

// The newest SA by which the peer of an outbound SA would answer, one of the same reqid first.
const Sa* Why::InboundFor(const Sa& outbound) const {
  const SaSpec& out = outbound.spec();
  const Sa* found = nullptr;
  from_.path.sad.ForEach([&](const SaPtr& sa) {
    const SaSpec& in = sa->spec();
    const bool fits = sa->inbound() != nullptr && sa->usable() && in.daddr == out.saddr &&
                      in.saddr == out.daddr && in.proto == out.proto && in.mode == out.mode &&
                      in.family == out.family && in.if_id == out.if_id;
    if (!fits) return;
    if (found == nullptr || in.reqid == out.reqid || found->spec().reqid != out.reqid) {
      found = sa.get();
    }
  });
  return found;
}

void Why::RefuseAnswers(const Case& of, DropReason reason, const std::string& text) const {
  WhyAnswers& answers = of.report->answers;
  answers.verdict = WhyAnswers::Verdict::kDropped;
  answers.drop = reason;
  of.Say("answers", Text("Answers would be dropped (", Describe(reason).name, "): ", text, "."),
         false);
}

// True: policies and SAs let some in and not others, by what the question leaves open.
bool Why::AnswersDepend(const Case& of, std::span<const Sa* const> secpath) const {
  const int32_t ifindex = of.way.device->ifindex;
  const FlowKey answer = AnswerTo(of, of.report->mtu.flow);
  OpenFields fields(of.packet, of.report->mtu.flow);
  for (const auto& policy : from_.path.spd.List()) {
    if (policy->spec.direction == PolicyDirection::kOut) continue;
    fields.Add(policy->spec.selector, answer, ifindex, /*reversed=*/true);
  }
  for (const Sa* sa : secpath) {
    const Selector& selector = sa->spec().selector;
    if (!selector.SaysNothing()) fields.Add(selector, answer, ifindex, /*reversed=*/true);
  }
  const OpenFields::Found found = fields.Compare([&](const FlowKey& flow) -> OpenFields::Effect {
    const FlowDecision decision = DecideInbound(from_.path, AnswerTo(of, flow), ifindex, secpath);
    if (decision.action != FlowAction::kDrop) return {"they are let in", decision.policy};
    return {Text("they are dropped (", Describe(decision.reason).name, ")"), decision.policy};
  });
  if (!found.depends()) return false;
  of.report->answers.verdict = WhyAnswers::Verdict::kDepends;
  of.report->mtu.open = found.fields;
  of.Say("answers", "Answers: " + found.text, false);
  return true;
}

void Why::AddAnswers(const Case& of) const {
  if (of.decision.action == FlowAction::kDrop) return;  // nothing leaves
  if (of.way.host.group) {
    return of.Say("answers", "Answers come from other addresses: ask for each of these.");
  }
  WhyAnswers& answers = of.report->answers;
  std::vector<const Sa*> secpath;  // outermost first
  for (std::size_t i = of.decision.chain.size; i-- > 0;) {
    const Sa& out = *of.decision.chain.sas[i]->sa;
    const Sa* in = InboundFor(out);
    if (in == nullptr) {
      const SaSpec& spec = out.spec();
      return RefuseAnswers(of, DropReason::kInNoState,
                           Text("there is no SA from ", ToString(spec.daddr, spec.family), " to ",
                                ToString(spec.saddr, spec.family)));
    }
    if (const DropReason state = StateOf(*in); state != DropReason::kNone) {
      return RefuseAnswers(of, state, NameOf(*in) + ": " + std::string(Describe(state).text));
    }
    secpath.push_back(in);
  }
  if (AnswersDepend(of, secpath)) return;
  const FlowDecision decision =
      DecideInbound(from_.path, AnswerTo(of, of.flow()), of.way.device->ifindex, secpath);
  if (decision.policy != nullptr) answers.policy = decision.policy->spec;
  const std::string policy = answers.policy ? NameOf(*answers.policy) : std::string("no policy");
  if (decision.action == FlowAction::kDrop) {
    const std::string text = answers.policy ? policy + ": " : std::string();
    return RefuseAnswers(of, decision.reason, text + std::string(Describe(decision.reason).text));
  }
  answers.verdict = WhyAnswers::Verdict::kAccepted;
  of.Say("answers", answers.policy
                        ? Text("Answers are let in by ", policy, ".")
                        : std::string("Answers are let in: no policy covers them, and the default "
                                      "allows it."));
}

}  // namespace cygnet
