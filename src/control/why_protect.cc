// `cygnet why`: what the SAs of the chain do with the packet.
#include <span>

#include "control/why_case.h"
#include "datapath/outbound_transform.h"
#include "datapath/path_ops.h"

namespace cygnet {
namespace {

std::string MacText(const MacAddress& mac) {
  std::string text;
  for (const uint8_t byte : mac) {
    if (!text.empty()) text += ':';
    text += HexText(byte, 2);
  }
  return text;
}

// "in nic0, by crypto offload".
std::string PlaceText(const SaBinding& binding, const std::string& where) {
  if (binding.on_device()) {
    return Text("in ", where, ", by ", Name(binding.path), " offload");
  }
  return Text(binding.rare().look_aside.session != nullptr ? "in the look-aside engine"
                                                           : "on the CPU, by the engine",
              " ", where);
}

// Whether a packet more fits into the limits: the test of Lifetime::Charge, without charging.
bool HasReachedLimit(const Lifetime& lifetime) {
  const LifetimeLimits limits = lifetime.limits();
  const LifetimeUsage usage = lifetime.usage();
  return usage.bytes >= limits.hard_bytes || usage.packets >= limits.hard_packets;
}

// Whether only its device may seal the packet, and will not: the rules of path_ops.cc.
bool CannotSeal(const SaBinding& binding, const OffloadDevice* egress, std::size_t transforms) {
  if (!binding.on_device()) return false;
  const bool leaves_by_it = egress == binding.device() && binding.device()->offload_up();
  if (binding.device_numbers()) return !leaves_by_it || transforms != 1;
  return !leaves_by_it && binding.cpu.session == nullptr;
}

}  // namespace

// In the order of the pipeline: next hop of a tunnel, then each SA.
void Why::Protect(Case* of) const {
  WhyReport& report = *of->report;
  const SaChain& chain = of->decision.chain;
  report.verdict = WhyVerdict::kProtected;
  const std::span<const OutboundSa* const> sas(chain.sas.data(), chain.size);
  from_.mtu.AddSizes(sas, &report.mtu);
  if (!CheckHop(of)) return;
  for (const OutboundSa* sa : sas) {
    if (!CheckSa(*sa, sa == sas.back(), of)) return;
  }
  const auto& devices = from_.placement.devices().all();
  const ControlDevice& egress = of->egress < devices.size() ? devices[of->egress] : *of->way.device;
  if (!egress.wire_port->link_up()) {
    return of->Drop("way", DropReason::kPortDown, Upper(ExplainLink(egress)));
  }
  const MtuReport& mtu = report.mtu;
  if (mtu.inner_mtu == 0) {
    return of->Drop("size", DropReason::kOutTooBig, "Not even an empty packet fits into the path");
  }
  of->Say("size", Text("Up to ", mtu.inner_mtu, " bytes of it fit (TCP MSS ", mtu.tcp_mss, ")",
                       LimitText(mtu),
                       "; a larger packet that must not be cut is answered with \"too big\"."));
}

// False: the packet ends here.
bool Why::CheckSa(const OutboundSa& sa, bool last, Case* of) const {
  const std::string name = NameOf(*sa.sa);
  const SaBinding* binding = sa.binding.load(std::memory_order_acquire);
  DescribePlace(sa, of);
  const auto drop = [of](const char* step, DropReason reason, const std::string& text) {
    of->Drop(step, reason, text);
    return false;
  };
  if (!sa.sa->usable() || binding == nullptr) {
    return drop("sa", DropReason::kOutStateInvalid, Upper(name) + " is no longer valid");
  }
  if (OpsOf(binding->path).outbound == Bookkeeper::kStack) {
    if (HasReachedLimit(sa.sa->lifetime())) {
      return drop("limits", DropReason::kOutStateExpired,
                  Upper(name) + " has reached its limit of bytes or packets");
    }
    if (!CheckNumbers(sa, of)) return false;
  }
  if (binding->blocked()) {
    return drop("place", DropReason::kOutBlocked,
                "No engine or device may do the cryptography of " + name);
  }
  const OffloadDevice* egress = last ? from_.path.interfaces[of->egress].offload : nullptr;
  if (CannotSeal(*binding, egress, of->decision.chain.size)) {
    return drop("place", DropReason::kOutRequired,
                Upper(name) + " must be sealed by its device, which does not send this packet");
  }
  return true;
}

bool Why::CheckNumbers(const OutboundSa& sa, Case* of) const {
  if (sa.sequence.edge() > sa.sequence.last_sent()) return true;
  if (sa.sequence.exhausted()) {
    of->Drop("numbers", DropReason::kOutSequence,
             "The sequence numbers of " + NameOf(*sa.sa) + " are used up");
    return false;
  }
  const std::string why = from_.why_mute ? from_.why_mute(*sa.sa) : std::string();
  of->Drop("numbers", DropReason::kOutNoNumbers,
           Text("The number store has given no numbers to ", NameOf(*sa.sa),
                why.empty() ? why : " (" + why + ")"));
  return false;
}

void Why::DescribePlace(const OutboundSa& sa, Case* of) const {
  const SaSpec& spec = sa.sa->spec();
  WhySa row{.id = sa.sa->id(), .saddr = spec.saddr, .reqid = spec.reqid, .mode = spec.mode};
  std::string text = Upper(NameOf(*sa.sa)) + " seals it";
  const PlacedSa* placed = from_.placement.Find(sa.sa->number);
  if (placed != nullptr && placed->half(Half::kOutbound).binding != nullptr) {
    const SaBinding& binding = *placed->half(Half::kOutbound).binding;
    row.effective = Name(binding.path);
    row.where = WhereOf(binding, from_.engines);
    row.reason = placed->half(Half::kOutbound).reason().Text();
    text += binding.blocked() ? ", but may run nowhere" : " " + PlaceText(binding, row.where);
    text += " (" + placed->half(Half::kOutbound).reason().FullText() + ")";
  }
  of->report->sas.insert(of->report->sas.begin(), row);
  of->Say("sa", text + ".");
}

// False: the packet waits.
bool Why::CheckHop(Case* of) const {
  const SaChain& chain = of->decision.chain;
  const OutboundSa* sa = AddressingSa(chain);
  MacAddress mac;
  uint8_t egress = 0;
  if (sa->next_hop.Get(&mac, &egress)) {
    if (egress < from_.path.interfaces.size()) of->egress = egress;
    const auto& devices = from_.placement.devices().all();
    of->Say("hop", Text("Its outer packet goes to ", MacText(mac), " by ",
                        egress < devices.size() ? devices[egress].name : "the device", "."));
    return true;
  }
  const bool has_frame = of->report->mtu.tunnel.empty() && of->report->inside.empty();
  if (has_frame) {
    of->Say("hop",
            "The next hop of its outer packet is not known yet: it goes to the one that the "
            "host has chosen for the packet itself.");
    return true;
  }
  of->report->verdict = WhyVerdict::kWaits;
  of->report->drop = DropReason::kOutNoNextHop;
  of->Say("hop",
          Text("The next hop to ", ToString(sa->sa->spec().daddr, sa->family),
               " is not known: it waits while the host looks for it."),
          false);
  return false;
}

}  // namespace cygnet
