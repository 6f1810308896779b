#include "control/nat_events.h"

namespace cygnet {

void NatMappings::OnMapping(const SaPtr& sa, const FlowKey& outer) {
  const SaSpec& spec = sa->spec();
  if (!spec.encap.has_value()) return;
  // UPDSA may have updated the SA meanwhile.
  if (outer.saddr == spec.saddr && spec.encap->AdmitsSource(outer.sport)) return;
  if (!limiters_[sa->number].Admit(outer.saddr, outer.sport, spec.rare->mapping_max_age.value_or(0),
                                   clock_.MonotonicNs())) {
    return;
  }
  announcer_.Notify(SaMapping{.sa = sa, .new_saddr = outer.saddr, .new_sport = outer.sport});
}

NatKeepalives::NatKeepalives(DataPath* path, PacketPools* pools) : path_(*path) {
  if (pools != nullptr) packets_.emplace(&pools->small);
}

void NatKeepalives::Check(const Sa& sa, uint64_t now) {
  const SaSpec& spec = sa.spec();
  if (!spec.rare->nat_keepalive.has_value() || !spec.encap.has_value() || !sa.usable()) return;
  if (sa.outbound() == nullptr || !packets_.has_value()) return;
  const uint64_t interval = *spec.rare->nat_keepalive;
  const auto last = sent_at_.find(sa.number);
  if (now < sa.lifetime().last_used() + interval ||
      (last != sent_at_.end() && now < last->second + interval)) {
    return;
  }
  if (Send(sa)) sent_at_[sa.number] = now;
}

// False: retry at the next tick.
bool NatKeepalives::Send(const Sa& sa) {
  const SaSpec& spec = sa.spec();
  NatKeepalive way{.family = spec.family,
                   .saddr = spec.saddr,
                   .daddr = spec.daddr,
                   .sport = spec.encap->sport,
                   .dport = spec.encap->dport};
  uint8_t interface = 0;
  if (!sa.outbound()->next_hop.Get(&way.next_hop_mac, &interface)) return false;  // not yet known
  way.source_mac = path_.interfaces[interface].host->mac();
  Packet* packet = packets_->Take();
  if (packet == nullptr) return false;
  packet->interface = interface;
  WriteNatKeepalive(way, packet);
  if (path_.injected.Push({&packet, 1}) == 0) {
    packets_->Give(packet);
    return false;
  }
  path_.bells[0]->Ring();
  return true;
}

}  // namespace cygnet
