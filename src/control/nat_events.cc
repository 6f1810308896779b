#include "control/nat_events.h"

#include <algorithm>

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

NatKeepalives::NatKeepalives(DataPath* path, PacketPools* pools, const Clock* clock)
    : path_(*path), clock_(*clock) {
  if (pools != nullptr) packets_.emplace(&pools->small);
}

// An SA that is new here may have been quiet since the wall clock's time of its last use, and a use
// between two checks was not longer ago than the first of them.
NatKeepalives::Row* NatKeepalives::CountQuiet(const Sa& sa) {
  const uint64_t wall = clock_.WallSeconds();
  const uint64_t now = clock_.MonotonicNs() / 1'000'000'000;
  const uint64_t used = sa.lifetime().last_used();
  const uint64_t ago = wall - std::min(used, wall);
  const auto [found, is_new] = rows_.try_emplace(sa.number);
  Row* row = &found->second;
  const uint64_t passed = now - std::min(row->checked, now);
  if (is_new) {
    row->quiet = ago;
  } else if (used != row->last_used) {
    row->quiet = std::min(ago, passed);
  } else {
    row->quiet += passed;
  }
  row->last_used = used;
  row->checked = now;
  return row;
}

void NatKeepalives::Check(const Sa& sa) {
  const SaSpec& spec = sa.spec();
  if (!spec.rare->nat_keepalive.has_value() || !spec.encap.has_value() || !sa.usable()) return;
  if (sa.outbound() == nullptr || !packets_.has_value()) return;
  Row* row = CountQuiet(sa);
  if (row->quiet >= *spec.rare->nat_keepalive && Send(sa)) row->quiet = 0;
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
