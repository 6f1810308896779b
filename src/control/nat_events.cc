// What control does for SAs with UDP encapsulation: MAPPING events and keep-alives.
#include "control/control_plane.h"

namespace cygnet {

void ControlPlane::OnMapping(const std::shared_ptr<Sa>& sa, const FlowKey& outer) {
  const SaSpec& spec = sa->spec();
  const auto watch = watches_.find(sa->number);
  if (watch == watches_.end() || !spec.encap.has_value()) return;
  // UPDSA may have told the SA meanwhile.
  if (outer.saddr == spec.saddr && outer.sport == spec.encap->sport) return;
  std::unique_ptr<MappingLimiter>& mappings = watch->second.mappings;
  if (mappings == nullptr) mappings = std::make_unique<MappingLimiter>();
  if (!mappings->Admit(outer.saddr, outer.sport, spec.mapping_max_age.value_or(0),
                       params_.clock->MonotonicNs())) {
    return;
  }
  Tell(SaMapping{.sa = sa, .new_saddr = outer.saddr, .new_sport = outer.sport});
}

// When the SA has sent nothing for its interval (kernel: nat_keepalive_work_single).
void ControlPlane::CheckKeepalive(const Sa& sa, uint64_t now) {
  const SaSpec& spec = sa.spec();
  if (!spec.nat_keepalive.has_value() || !spec.encap.has_value() || !sa.usable()) return;
  const auto watch = watches_.find(sa.number);
  if (sa.outbound() == nullptr || watch == watches_.end() || !packets_.has_value()) return;
  const uint64_t interval = *spec.nat_keepalive;
  if (now < sa.lifetime().last_used() + interval || now < watch->second.keepalive_at + interval) {
    return;
  }
  NatKeepalive way{.family = spec.family,
                   .saddr = spec.saddr,
                   .daddr = spec.daddr,
                   .sport = spec.encap->sport,
                   .dport = spec.encap->dport};
  uint8_t interface = 0;
  if (!sa.outbound()->next_hop.Get(&way.next_hop_mac, &interface)) return;  // not yet known
  way.source_mac = path_.interfaces[interface].host->mac();
  Packet* packet = packets_->Take();
  if (packet == nullptr) return;  // tried again at the next tick
  packet->interface = interface;
  WriteNatKeepalive(way, packet);
  if (path_.injected.Push({&packet, 1}) == 0) {
    packets_->Give(packet);
    return;
  }
  path_.bells[0]->Ring();
  watch->second.keepalive_at = now;
}

}  // namespace cygnet
