#include "control/sas.h"

#include <utility>

#include "base/log.h"
#include "base/random.h"
#include "base/random_words.h"
#include "device/packet_offload.h"

namespace cygnet {
namespace {

bool IsInPacketMode(const PlacedHalf& half) {
  return half.binding != nullptr && half.binding->on_device() &&
         half.binding->device()->packet_offload() != nullptr &&
         half.request.mode == PlacementMode::kPacket;
}

}  // namespace

SaId SaIdOf(const SaSpec& spec) {
  return {.daddr = spec.daddr,
          .spi = spec.spi,
          .proto = spec.proto,
          .family = spec.family,
          .mark = spec.mark_value & spec.mark_mask};
}

SaPtr Sas::Named(const SaId& id) const { return id.spi.value == 0 ? nullptr : path_.sad.Find(id); }

// --- Requests ---

Status Sas::Add(SaSpec spec, const RequestOrigin& origin) {
  parts_.addresses->CatchUp();  // checks and placement need them
  CYGNET_RETURN_IF_ERROR(CheckSelector(spec));
  CYGNET_RETURN_IF_ERROR(CheckTunnel(spec));
  if (path_.sad.FindWithAnyMark(SaIdOf(spec)) != nullptr) return MakeError(Errc::kExists);
  const auto sa = Install(std::move(spec));
  if (!sa) return sa.error();
  parts_.announcer->Notify(SaAdded{*sa}, origin);
  return {};
}

Status Sas::Update(SaSpec spec, const RequestOrigin& origin) {
  parts_.addresses->CatchUp();  // checks and placement need them
  CYGNET_RETURN_IF_ERROR(CheckSelector(spec));
  CYGNET_RETURN_IF_ERROR(CheckTunnel(spec));
  const SaId id = SaIdOf(spec);
  const SaPtr existing = path_.sad.Find(id);
  if (existing == nullptr || existing->spec().direction != spec.direction) {
    // A larval state without a direction gets one when it is filled in.
    const bool larval_without = existing != nullptr && existing->state() == SaState::kLarval &&
                                existing->spec().direction == SaDirection::kUnspec;
    if (!larval_without) return MakeError(Errc::kNoSuchProcess);
  }
  if (existing->state() == SaState::kLarval) {
    const auto sa = Install(std::move(spec), existing);
    if (!sa) return sa.error();
    parts_.announcer->Notify(SaUpdated{*sa}, origin);
    return {};
  }
  if (!existing->usable()) return MakeError(Errc::kInvalid);
  const Boxed<UdpEncap>& encap = existing->spec().encap;
  if (encap.has_value() != spec.encap.has_value() ||
      (encap.has_value() && encap->type != spec.encap->type)) {
    return MakeError(Errc::kInvalid, "Encapsulation cannot be added, removed or changed in type");
  }
  auto updated = IntoTunnel(existing, spec.if_id);
  if (!updated) return updated.error();
  UpdateValid(updated->get(), spec);
  if (parts_.keeper != nullptr) parts_.keeper->Update(**updated);
  path_.BumpGeneration();
  parts_.announcer->Notify(SaUpdated{*updated}, origin);
  return {};
}

// With another if_id, a new object goes on with the SA's numbers: workers find SAs by it. 0: it
// stays (kernel: xfrm_state_update).
Result<SaPtr> Sas::IntoTunnel(const SaPtr& sa, uint32_t if_id) {
  if (if_id == 0 || if_id == sa->spec().if_id) return sa;
  SaSpec spec = sa->spec().Clone();
  spec.if_id = if_id;
  auto to = MakeSuccessor(*sa, std::move(spec));
  if (to) Replace(sa, *to);
  return to;
}

// Only these fields of a valid SA change. Keys, window, offload and algorithms stay (kernel:
// xfrm_state_update).
void Sas::UpdateValid(Sa* sa, const SaSpec& spec) {
  const Boxed<UdpEncap>& old = sa->spec().encap;
  if (spec.encap.has_value()) {
    encap_ports_.Remove(old->dport);
    const UdpEncap before = *old;
    sa->UpdateEncapPorts(*spec.encap);
    encap_ports_.Add(spec.encap->dport);
    if (!(before == *spec.encap)) parts_.placement->ApplyEncap(*sa);
  }
  sa->UpdateLimits(spec.limits);
  parts_.placement->ApplyLimits(*sa);
}

Status Sas::Delete(const SaId& id, const RequestOrigin& origin) {
  const SaPtr sa = Named(id);
  if (sa == nullptr) return MakeError(Errc::kNoSuchProcess);
  parts_.announcer->Note(SaDeleted{sa});
  parts_.announcer->Notify(SaDeleted{sa}, origin);
  Remove(sa);
  return {};
}

bool Sas::Flush(uint8_t proto, const RequestOrigin& origin) {
  bool any = false;
  for (const auto& sa : path_.sad.List()) {
    if (proto != 0 && proto != 255 && sa->spec().proto != proto) continue;
    Remove(sa);
    any = true;
  }
  parts_.announcer->Note(SaFlushed{proto});  // also for SAs of an earlier daemon
  if (any) parts_.announcer->Notify(SaFlushed{proto}, origin);
  return any;
}

Status Sas::Expire(const SaId& id, bool hard, const RequestOrigin& origin) {
  const SaPtr sa = Named(id);
  if (sa == nullptr) return MakeError(Errc::kNoEntry);
  if (!sa->usable()) return MakeError(Errc::kInvalid, "SA must be in VALID state");
  hard ? ExpireHard(sa, origin) : ExpireSoft(sa, origin);
  return {};
}

std::vector<ConstSaPtr> Sas::List() const {
  auto all = path_.sad.List();
  return {std::make_move_iterator(all.begin()), std::make_move_iterator(all.end())};
}

SaView Sas::Inspect(const Sa& sa) const {
  parts_.placement->Refresh(sa);
  SaView view{.spec = &sa.spec(),
              .state = sa.state(),
              .usage = sa.lifetime().usage(),
              .stats = sa.stats(),
              .replay = sa.ExportReplay(),
              .offload = std::nullopt,
              .last_used = sa.lifetime().last_used()};
  parts_.placement->Show(sa, &view.replay);
  // Also of a larval state whose policy is offloaded.
  if (sa.packet_device() != 0) view.offload = view.spec->offload;
  const PlacedSa* placed = parts_.placement->Find(sa.number);
  if (placed == nullptr || view.offload.has_value()) return view;
  for (const Half half : kHalves) {
    for (const ControlDevice& d : parts_.placement->devices().all()) {
      if (d.offload == nullptr || !placed->half(half).IsOn(d.offload)) continue;
      view.offload = OffloadRequest{
          .mode = OffloadMode::kCrypto, .ifindex = d.ifindex, .inbound = IsInbound(half)};
    }
  }
  return view;
}

// --- Installing and removing ---

SaSpec Sas::Completed(SaSpec spec) const {
  spec.SetReplayAtLeast(replay_window_min_);
  parts_.device_policies->Resolve(&spec);
  return spec;
}

// On an error nothing is kept of it.
Status Sas::Place(const SaPtr& sa, Source source) {
  Status ready = parts_.placement->Place(sa);
  if (ready) {
    ready = source == Source::kClient ? parts_.announcer->Prepare(SaAdded{sa})
                                      : parts_.announcer->PrepareRestored(sa);
  }
  if (!ready) Discard(*sa);
  return ready;
}

// Removes the larval state that it fills in or answers only after the new SA exists: a refused
// client may retry, and a packet always finds one of the two.
Result<SaPtr> Sas::Install(SaSpec spec, const SaPtr& fills) {
  static thread_local RandomWords masks;
  const auto made = Make(Completed(std::move(spec)), masks.Next());
  if (!made) return made.error();
  const SaPtr& sa = *made;
  CYGNET_RETURN_IF_ERROR(Place(sa, Source::kClient));
  Link(sa, Source::kClient);
  parts_.larval->RemoveAnswered(sa->spec());
  if (fills != nullptr) Remove(fills);
  path_.BumpGeneration();
  return sa;
}

Status Sas::Restore(RestoredSa from) {
  CYGNET_RETURN_IF_ERROR(CheckSelector(from.spec));
  if (path_.sad.FindWithAnyMark(SaIdOf(from.spec)) != nullptr)
    return MakeError(Errc::kExists, "it exists");
  if (from.state == SaState::kLarval) {
    parts_.larval->Restore(std::move(from.spec));
    return {};
  }
  const auto made = Make(Completed(std::move(from.spec)), from.iv_mask);
  if (!made) return made.error();
  const SaPtr& sa = *made;
  if (sa->inbound() != nullptr) sa->inbound()->replay.BeginAt(from.accepted_to);
  sa->lifetime().SetLastUsed(from.last_used);
  sa->lifetime().SetSoftTimeSignalled(from.soft_time_signalled);
  sa->set_state(from.state);
  CYGNET_RETURN_IF_ERROR(Place(sa, Source::kProcessBefore));
  Link(sa, Source::kProcessBefore);
  CheckKeptTimes(sa);  // before its first packet, however often this starts
  path_.BumpGeneration();
  return {};
}

Result<SaPtr> Sas::Make(SaSpec spec, uint64_t iv_mask, const Sa* from) {
  std::optional<NumberIdentity> identity;
  if (parts_.numbers != nullptr) {
    auto known = parts_.numbers->Identify(spec);
    if (!known) return known.error();
    identity = *known;
    spec.rare.Set(&SaRare::group, identity.has_value() ? identity->group : 0);
  }
  auto sa = MakeSharedSa(std::move(spec), parts_.clock->WallSeconds(),
                         identity.has_value() ? identity->iv_mask : iv_mask);
  sa->number = path_.sad.NextNumber();
  if (parts_.numbers != nullptr) CYGNET_RETURN_IF_ERROR(parts_.numbers->Begin(sa, identity, from));
  return sa;
}

// Other nodes know the numbers of a group's SAs from its store alone.
Status Sas::CheckGroup(const SaSpec& from, const SaSpec& to) const {
  if (parts_.numbers == nullptr) return {};
  const auto identity = parts_.numbers->Identify(to);
  if (!identity) return identity.error();
  if ((identity->has_value() ? (*identity)->group : 0) == from.rare->group) return {};
  return MakeError(Errc::kNotSupported,
                   "An SA cannot move into or out of a cluster group: make a new one");
}

Result<SaPtr> Sas::MakeSuccessor(const Sa& from, SaSpec spec) {
  CYGNET_RETURN_IF_ERROR(CheckGroup(from.spec(), spec));
  parts_.device_policies->Resolve(&spec);
  spec.replay = from.ExportReplay();  // the current state; TakeOver updates it
  const uint64_t iv_mask = from.outbound() != nullptr ? from.outbound()->iv_mask : RandomWord();
  auto to = Make(std::move(spec), iv_mask, &from);
  if (!to) return to.error();
  if (Status placed = parts_.placement->Place(*to); !placed) {
    Discard(**to);
    return placed.error();
  }
  return to;
}

void Sas::Discard(const Sa& sa) {
  parts_.placement->Remove(sa);
  if (parts_.numbers != nullptr) parts_.numbers->Forget(sa);
}

// Makes the SA visible to packets.
void Sas::Link(const SaPtr& sa, Source source) {
  if (parts_.keeper != nullptr) parts_.keeper->Keep(sa);
  if (parts_.numbers != nullptr) parts_.numbers->Attach(sa);
  FollowNextHop(*sa, source);
  FollowPolicies(sa);
  parts_.tunnels->Follow(sa);
  path_.sad.Insert(sa);
  if (sa->spec().encap.has_value()) encap_ports_.Add(sa->spec().encap->dport);
  parts_.aevents->Follow(*sa, aevent_defaults_);
}

void Sas::Replace(const SaPtr& from, const SaPtr& to) {
  parts_.announcer->Note(SaDeleted{from});
  parts_.announcer->Note(SaAdded{to});
  parts_.placement->TakeBack(*from);
  to->TakeOver(from.get());
  if (parts_.numbers != nullptr) {
    parts_.numbers->HandOver(*from, *to);
    parts_.numbers->Follow(*to);
  }
  parts_.placement->FollowTakeOver(*to);
  // First, so that the memory never has two SAs that could use the same numbers.
  if (parts_.keeper != nullptr) parts_.keeper->Forget(*from);
  Link(to, Source::kClient);
  parts_.aevents->Continue(*from, *to);
  Remove(from);
}

void Sas::Remove(const SaPtr& sa) {
  if (sa->state() == SaState::kLarval) return parts_.larval->Remove(sa);
  sa->set_state(SaState::kDead);
  parts_.aevents->Forget(sa->number);
  parts_.mappings->Forget(sa->number);
  parts_.keepalives->Forget(sa->number);
  exhausted_.erase(sa->number);
  parts_.tunnels->Forget(*sa);
  if (parts_.next_hops != nullptr && sa->outbound() != nullptr) parts_.next_hops->Forget(*sa);
  const SaPtr keep = sa;
  path_.sad.Remove(sa);
  if (parts_.placement->Find(keep->number) != nullptr) {
    parts_.placement->Remove(*keep);
    parts_.device_policies->Forget(keep->number);
    parts_.placement->ForgetCommands(*keep);
    if (keep->spec().encap.has_value()) encap_ports_.Remove(keep->spec().encap->dport);
  }
  if (parts_.numbers != nullptr) parts_.numbers->Forget(*keep);
  // Last: until the store knows what was accepted, the kept memory does.
  if (parts_.keeper != nullptr) parts_.keeper->Forget(*keep);
  path_.BumpGeneration();
}

void Sas::OnNumbersLow(const Sa& sa) {
  if (parts_.numbers != nullptr) parts_.numbers->OnLow(sa);
}

void Sas::OnSequenceExhausted(const Sa& sa) {
  if (!exhausted_.insert(sa.number).second) return;
  Log(LogLevel::kWarning, "SA " + Describe(sa.spec()) +
                              ": sequence numbers are used up, its packets are dropped; rekey it");
}

// --- Packet offload ---

// A client that requests packet offload offloads its policies itself.
void Sas::FollowPolicies(const SaPtr& sa) {
  const PlacedSa* placed = parts_.placement->Find(sa->number);
  const bool by_client = sa->packet_device() != 0;
  if (placed == nullptr || by_client || !IsInPacketMode(placed->half(Half::kOutbound))) {
    parts_.device_policies->Forget(sa->number);
    return;
  }
  GivePolicies(
      sa, parts_.placement->devices().NumberOf(placed->half(Half::kOutbound).binding->device()));
}

void Sas::GivePolicies(const SaPtr& sa, std::size_t device) {
  if (sa->packet_device() != 0) return;
  (void)parts_.device_policies->Follow(sa, device);  // logs a refusal
}

// --- Next hop ---

void Sas::FollowNextHop(const Sa& sa, Source source) {
  const OutboundSa* outbound = sa.outbound();
  // The outer packet may use another route than the inner one; NAT keep-alives have no inner
  // packet, and what the host sends through a tunnel interface names no neighbour.
  const SaSpec& spec = sa.spec();
  const bool needed =
      outbound != nullptr && (outbound->mode != SaMode::kTransport || spec.encap.has_value() ||
                              (spec.if_id | spec.mark_mask) != 0);
  if (needed && parts_.next_hops != nullptr) {
    const uint64_t now = parts_.clock->MonotonicNs();
    if (source == Source::kProcessBefore) return parts_.next_hops->FollowRestored(sa, now);
    parts_.next_hops->Follow(sa, now);
    // Packets may wait for an SA that was asked for.
    if (parts_.larval->AcquireInProgress(spec)) parts_.next_hops->AskNew(now);
  }
}

}  // namespace cygnet
