// NEWSA, UPDSA, DELSA and so on, as a Linux kernel answers them, and the life of an SA.
#include <algorithm>

#include "base/log.h"
#include "base/random.h"
#include "control/control_plane.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

SaId IdOf(const SaSpec& spec) {
  return {.daddr = spec.daddr, .spi = spec.spi, .proto = spec.proto, .family = spec.family};
}

}  // namespace

std::shared_ptr<Sa> ControlPlane::ByNumber(uint64_t number) const {
  return path_.sad.FindByNumber(number);
}

// An SA that a client may name. SPI 0 names nothing: states without an SPI have it.
std::shared_ptr<Sa> ControlPlane::Named(const SaId& id) const {
  return id.spi.value == 0 ? nullptr : path_.sad.Find(id);
}

// --- Requests ---

Status ControlPlane::AddSa(SaSpec spec, const RequestOrigin& origin) {
  CYGNET_RETURN_IF_ERROR(policies_.RefuseForeignInterface(spec.selector));
  if (path_.sad.Find(IdOf(spec)) != nullptr) return MakeError(Errc::kExists);
  const auto sa = Install(std::move(spec));
  if (!sa) return sa.error();
  announcer_.Notify(SaAdded{*sa}, origin);
  return {};
}

Status ControlPlane::UpdateSa(SaSpec spec, const RequestOrigin& origin) {
  CYGNET_RETURN_IF_ERROR(policies_.RefuseForeignInterface(spec.selector));
  const SaId id = IdOf(spec);
  const std::shared_ptr<Sa> existing = path_.sad.Find(id);
  if (existing == nullptr || existing->spec().direction != spec.direction) {
    // A larval state without a direction gets one when it is filled in.
    const bool larval_without = existing != nullptr && existing->state() == SaState::kLarval &&
                                existing->spec().direction == SaDirection::kUnspec;
    if (!larval_without) return MakeError(Errc::kNoSuchProcess);
  }
  if (existing->state() == SaState::kLarval) {
    const auto sa = Install(std::move(spec), existing);
    if (!sa) return sa.error();
    announcer_.Notify(SaUpdated{*sa}, origin);
    return {};
  }
  if (!existing->usable()) return MakeError(Errc::kInvalid);
  CYGNET_RETURN_IF_ERROR(UpdateValid(existing.get(), spec));
  path_.BumpGeneration();
  announcer_.Notify(SaUpdated{existing}, origin);
  return {};
}

// Only these fields of a valid SA change. Keys, window, offload and algorithms stay (kernel:
// xfrm_state_update).
Status ControlPlane::UpdateValid(Sa* sa, const SaSpec& spec) {
  const Boxed<UdpEncap>& old = sa->spec().encap;
  if (old.has_value() != spec.encap.has_value() ||
      (old.has_value() && old->type != spec.encap->type)) {
    return MakeError(Errc::kInvalid, "Encapsulation cannot be added, removed or changed in type");
  }
  if (spec.encap.has_value()) {
    CountEncapPort(old->dport, -1);
    sa->UpdateEncapPorts(*spec.encap);
    CountEncapPort(spec.encap->dport, 1);
  }
  sa->UpdateLimits(spec.limits);
  return {};
}

Status ControlPlane::DeleteSa(const SaId& id, const RequestOrigin& origin) {
  const std::shared_ptr<Sa> sa = Named(id);
  if (sa == nullptr) return MakeError(Errc::kNoSuchProcess);
  announcer_.Note(SaDeleted{sa});
  announcer_.Notify(SaDeleted{sa}, origin);
  Remove(sa);
  return {};
}

Result<std::shared_ptr<const Sa>> ControlPlane::GetSa(const SaId& id) const {
  std::shared_ptr<const Sa> sa = Named(id);
  if (sa == nullptr) return MakeError(Errc::kNoSuchProcess);
  return sa;
}

bool ControlPlane::FlushSas(uint8_t proto, const RequestOrigin& origin) {
  bool any = false;
  for (const auto& sa : path_.sad.List()) {
    if (proto != 0 && proto != 255 && sa->spec().proto != proto) continue;
    Remove(sa);
    any = true;
  }
  announcer_.Note(SaFlushed{proto});  // also for SAs of an earlier daemon
  if (any) announcer_.Notify(SaFlushed{proto}, origin);
  return any;
}

Status ControlPlane::ExpireSa(const SaId& id, bool hard, const RequestOrigin& origin) {
  const std::shared_ptr<Sa> sa = Named(id);
  if (sa == nullptr) return MakeError(Errc::kNoEntry);
  if (!sa->usable()) return MakeError(Errc::kInvalid, "SA must be in VALID state");
  Expire(sa, hard, origin);
  return {};
}

std::vector<std::shared_ptr<const Sa>> ControlPlane::ListSas() const {
  const auto all = path_.sad.List();
  return {all.begin(), all.end()};
}

SadInfo ControlPlane::GetSadInfo() const {
  return {.count = static_cast<uint32_t>(path_.sad.size())};
}

SaView ControlPlane::Inspect(const Sa& sa) const {
  SaView view{.spec = &sa.spec(),
              .state = sa.state(),
              .usage = sa.lifetime().usage(),
              .stats = sa.stats(),
              .replay = sa.ExportReplay(),
              .offload = std::nullopt,
              .last_used = sa.lifetime().last_used()};
  const PlacedSa* placed = placement_->Find(sa.number);
  if (placed == nullptr) return view;
  for (const Half half : kHalves) {
    for (const ControlDevice& d : devices()) {
      if (d.offload == nullptr || !placed->half(half).IsOn(d.offload)) continue;
      view.offload = OffloadRequest{
          .mode = OffloadMode::kCrypto, .ifindex = d.ifindex, .inbound = IsInbound(half)};
    }
  }
  return view;
}

Result<AeventView> ControlPlane::GetAevent(const SaId& id) const {
  const std::shared_ptr<Sa> sa = Named(id);
  if (sa == nullptr) return MakeError(Errc::kNoSuchProcess);
  return aevents_.View(sa);
}

Status ControlPlane::UpdateAevent(const AeventChange& change, const RequestOrigin& origin) {
  const std::shared_ptr<Sa> sa = Named(change.id);
  if (sa == nullptr) return MakeError(Errc::kNoSuchProcess);
  return aevents_.Update(sa, change, origin);
}

// --- Installing and removing ---

// Removes the larval state that it fills in or answers only after the new SA exists: a refused
// client may retry, and a packet always finds one of the two.
Result<std::shared_ptr<Sa>> ControlPlane::Install(SaSpec spec, const std::shared_ptr<Sa>& fills) {
  ReadAddresses(params_.clock->MonotonicNs(), Patience::kNone);  // placement needs them
  spec.replay_at_least = params_.replay_window_min;
  auto sa = MakeSa(std::move(spec), RandomWord());
  CYGNET_RETURN_IF_ERROR(placement_->Place(sa));
  if (Status kept = announcer_.Prepare(SaAdded{sa}); !kept) {
    placement_->Remove(*sa);
    return kept.error();
  }
  Link(sa);
  RemoveAnsweredLarval(sa->spec());
  if (fills != nullptr) Remove(fills);
  path_.BumpGeneration();
  return sa;
}

// Makes an SA with its number, ready for placement. Nobody finds it yet.
std::shared_ptr<Sa> ControlPlane::MakeSa(SaSpec spec, uint64_t iv_mask) {
  auto sa = MakeSharedSa(std::move(spec), Now(), iv_mask);
  sa->number = path_.sad.NextNumber();
  return sa;
}

// Makes the SA visible to packets.
void ControlPlane::Link(const std::shared_ptr<Sa>& sa) {
  FollowNextHop(*sa);
  path_.sad.Insert(sa);
  if (sa->spec().encap.has_value()) CountEncapPort(sa->spec().encap->dport, 1);
  aevents_.Follow(*sa, {.max_diff = settings_.aevent_rseqth, .max_age = settings_.aevent_etime});
}

void ControlPlane::Remove(const std::shared_ptr<Sa>& sa) {
  const bool larval = sa->state() == SaState::kLarval;
  sa->set_state(SaState::kDead);
  aevents_.Forget(sa->number);
  mappings_.Forget(sa->number);
  keepalives_.Forget(sa->number);
  acquires_.Remove(sa->number);
  exhausted_.erase(sa->number);
  if (next_hops_.has_value() && sa->outbound() != nullptr) next_hops_->Forget(*sa);
  const std::shared_ptr<Sa> keep = sa;
  path_.sad.Remove(sa);
  if (placement_->Find(keep->number) != nullptr) {
    placement_->Remove(*keep);
    placement_->ForgetCommands(*keep);
    if (keep->spec().encap.has_value()) CountEncapPort(keep->spec().encap->dport, -1);
  }
  if (!larval) path_.BumpGeneration();  // no flow used one
}

// Packets to one of these ports of this host may be ESP in UDP. SAs of unknown direction count as
// well: for an outbound one it is the peer's port, which is harmless.
void ControlPlane::CountEncapPort(uint16_t port, int delta) {
  const bool known = encap_ports_.count(port) != 0;
  if ((encap_ports_[port] += delta) == 0) encap_ports_.erase(port);
  if (known == (encap_ports_.count(port) != 0)) return;
  std::vector<uint16_t> ports(kNatTPorts.begin(), kNatTPorts.end());
  for (const auto& [used, count] : encap_ports_) ports.push_back(used);
  std::sort(ports.begin(), ports.end());
  path_.SetEncapPorts(std::move(ports));
}

// --- Lifetimes ---

void ControlPlane::Expire(const std::shared_ptr<Sa>& sa, bool hard, const RequestOrigin& origin) {
  if (hard) {
    announcer_.Note(SaExpired{sa, true});
    announcer_.Notify(SaExpired{sa, true}, origin);
    Remove(sa);
    return;
  }
  if (sa->state() == SaState::kValid) sa->set_state(SaState::kDying);
  path_.BumpGeneration();
  announcer_.Notify(SaExpired{sa, false}, origin);
}

void ControlPlane::CheckTimes(const std::shared_ptr<Sa>& sa, uint64_t now) {
  const LifetimeLimits limits = sa->lifetime().limits();
  const LifetimeUsage usage = sa->lifetime().usage();
  const auto reached = [now](uint64_t since, uint64_t limit) {
    return limit != 0 && since != 0 && now >= since + limit;
  };
  if (reached(usage.add_time, limits.hard_add_seconds) ||
      reached(usage.use_time, limits.hard_use_seconds)) {
    Expire(sa, true);
  } else if (!sa->soft_time_signalled && sa->state() == SaState::kValid &&
             (reached(usage.add_time, limits.soft_add_seconds) ||
              reached(usage.use_time, limits.soft_use_seconds))) {
    sa->soft_time_signalled = true;
    Expire(sa, false);
  }
}

// --- Next hop ---

void ControlPlane::FollowNextHop(const Sa& sa) {
  const OutboundSa* outbound = sa.outbound();
  // The outer packet may use another route than the inner one; NAT keep-alives have no inner
  // packet.
  const bool needed =
      outbound != nullptr && (outbound->mode != SaMode::kTransport || sa.spec().encap.has_value());
  if (needed && next_hops_.has_value()) next_hops_->Follow(sa, params_.clock->MonotonicNs());
}

}  // namespace cygnet
