#include "control/migrations.h"

#include <algorithm>
#include <utility>

#include "control/moved_spec.h"
#include "control/policy_view.h"

namespace cygnet {
namespace {

constexpr const char* kTaken = "The new addresses have an SA of that SPI already";

// Compares as the kernel does: every family except IPv6 is treated as IPv4.
bool SameAddress(const IpAddress& a, const IpAddress& b, IpFamily family) {
  return PrefixMatches(a, b, family == IpFamily::kV6 ? 128 : 32);
}

// Tunnel, BEET, IP-TFS. Other templates have no addresses to change.
bool HasOwnAddresses(uint8_t mode) {
  constexpr uint8_t kModeIptfs = 5;
  return mode == static_cast<uint8_t>(SaMode::kTunnel) ||
         mode == static_cast<uint8_t>(SaMode::kBeet) || mode == kModeIptfs;
}

bool Fits(const MigrateEntry& entry, const Template& tmpl) {
  if (tmpl.mode != entry.mode || tmpl.proto != entry.proto ||
      (entry.reqid.value != 0 && tmpl.reqid != entry.reqid)) {
    return false;
  }
  if (!HasOwnAddresses(tmpl.mode)) {
    return tmpl.mode == static_cast<uint8_t>(SaMode::kTransport);
  }
  return SameAddress(tmpl.daddr, entry.old_daddr, entry.old_family) &&
         SameAddress(tmpl.saddr, entry.old_saddr, entry.old_family);
}

bool Fits(const MigrateEntry& entry, const SaSpec& spec) {
  return static_cast<uint8_t>(spec.mode) == entry.mode && spec.proto == entry.proto &&
         (entry.reqid.value == 0 || spec.reqid == entry.reqid) && spec.family == entry.old_family &&
         spec.daddr == entry.old_daddr && spec.saddr == entry.old_saddr;
}

// The number of templates that the entries match. An entry may match one that an earlier entry
// moved.
int MoveTemplates(const std::vector<MigrateEntry>& entries, Templates* templates) {
  int found = 0;
  for (Template& tmpl : *templates) {
    for (const MigrateEntry& entry : entries) {
      if (!Fits(entry, tmpl)) continue;
      ++found;
      if (!HasOwnAddresses(tmpl.mode)) continue;
      tmpl.daddr = entry.new_daddr;
      tmpl.saddr = entry.new_saddr;
      tmpl.family = entry.new_family;
    }
  }
  return found;
}

}  // namespace

Result<std::shared_ptr<Policy>> Migrations::FindMigrated(const Migration& migration) const {
  constexpr const char* kNone = "Target policy not found";
  const Selector& selector = migration.selector;
  if (AddressBits(selector.family) == 0) return MakeError(Errc::kFamilyNotSupported, kNone);
  FlowKey flow;
  flow.family = selector.family;
  flow.saddr = selector.saddr;
  flow.daddr = selector.daddr;
  flow.proto = selector.proto;
  if (selector.proto != 0) {
    flow.sport = selector.sport;
    flow.dport = selector.dport;
  }
  flow.SetTunnel(migration.if_id, 0);  // the kernel's request has no mark
  auto policy = path_.spd.FindFirst(migration.direction, migration.type, flow, selector.ifindex);
  if (policy == nullptr) return MakeError(Errc::kNoEntry, kNone);
  return policy;
}

// The newest match. States without keys stay at their addresses.
SaPtr Migrations::FindMoving(const MigrateEntry& entry, uint32_t if_id) {
  return by_ends_.FindNewest(entry.old_saddr, entry.old_daddr, [&](const Sa& sa) {
    const bool of_tunnel = if_id == 0 || sa.spec().if_id == if_id;
    return of_tunnel && sa.usable() && Fits(entry, sa.spec());
  });
}

// Places the new SA, so this can fail.
Status Migrations::PrepareMove(const SaPtr& sa, const MigrateEntry& entry,
                               const Migration& migration, std::vector<MovingSa>* moves) {
  SaSpec spec = sa->spec().Clone();
  spec.saddr = entry.new_saddr;
  spec.daddr = entry.new_daddr;
  spec.family = entry.new_family;
  if (migration.encap) spec.encap = *migration.encap;
  spec.offload = migration.offload;
  if (LeavesFromNoPort(spec)) return MakeError(Errc::kNoData, kNoSourcePort);
  const SaId id = SaIdOf(spec);
  const ConstSaPtr there = path_.sad.FindWithAnyMark(id);
  const bool taken = (there != nullptr && there != sa) ||
                     std::any_of(moves->begin(), moves->end(),
                                 [&](const MovingSa& other) { return other.to->id() == id; });
  if (taken) return MakeError(Errc::kNoData, kTaken);
  const auto to = sas_.MakeSuccessor(*sa, std::move(spec));
  if (!to) return MakeError(Errc::kNoData, to.error().message);
  moves->push_back({.from = sa, .to = *to});
  return {};
}

Status Migrations::PrepareMoves(const Migration& migration, std::vector<MovingSa>* moves) {
  for (const MigrateEntry& entry : migration.entries) {
    const SaPtr sa = FindMoving(entry, migration.if_id);
    const bool twice = std::any_of(moves->begin(), moves->end(),
                                   [&](const MovingSa& move) { return move.from == sa; });
    if (sa == nullptr || twice) continue;
    CYGNET_RETURN_IF_ERROR(PrepareMove(sa, entry, migration, moves));
  }
  return {};
}

void Migrations::UndoMoves(const std::vector<MovingSa>& moves) {
  for (const MovingSa& move : moves) sas_.Discard(*move.to);
}

Status Migrations::Run(const Migration& migration) {
  const auto policy = FindMigrated(migration);
  if (!policy) return policy.error();
  Templates templates = (*policy)->spec.templates;
  if (MoveTemplates(migration.entries, &templates) == 0) return MakeError(Errc::kNoData);
  std::vector<MovingSa> moves;
  Status prepared = PrepareMoves(migration, &moves);
  PolicyView after = ViewOf(**policy);
  after.spec.templates = templates;
  auto offer = device_policies_.Give(after.spec, (*policy)->place);
  if (prepared && !offer) prepared = MakeError(Errc::kNoData, offer.error().message);
  if (prepared) prepared = announcer_.Prepare(PolicyUpdated{after});
  if (!prepared) {
    UndoMoves(moves);
    return prepared;
  }
  for (const MovingSa& move : moves) sas_.Replace(move.from, move.to);
  const auto amended = path_.spd.Amend(*policy, std::move(templates));
  path_.BumpGeneration();
  device_policies_.Accept(*std::move(offer), amended);
  for (const MovingSa& move : moves) by_ends_.Add(*move.to);
  by_ends_.Follow();
  announcer_.Notify(Migrated{migration});
  return {};
}

// A state without keys cannot be made anew at another place.
Status Migrations::RunOne(const SaMigration& migration, const RequestOrigin& origin) {
  const SaPtr from = sas_.Named(migration.id);
  if (from == nullptr) return MakeError(Errc::kNoSuchProcess, "Can not find state");
  if (!from->usable()) return MakeError(Errc::kInvalid, "SA must be in VALID state");
  auto spec = MovedSpec(from->spec(), migration);
  if (!spec) return spec.error();
  CYGNET_RETURN_IF_ERROR(sas_.CheckSelector(*spec));
  CYGNET_RETURN_IF_ERROR(sas_.CheckTunnel(*spec));
  const ConstSaPtr there = path_.sad.FindWithAnyMark(SaIdOf(*spec));
  if (there != nullptr && there != from) {
    return MakeError(Errc::kExists, "New SA tuple already occupied");
  }
  const auto to = sas_.MakeSuccessor(*from, *std::move(spec));
  if (!to) return MakeError(Errc::kInvalid, to.error().message);
  sas_.Replace(from, *to);
  path_.BumpGeneration();
  announcer_.Notify(SaMigrated{migration, *to}, origin);
  return {};
}

}  // namespace cygnet
