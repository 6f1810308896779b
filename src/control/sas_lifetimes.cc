// The part of Sas that ends SAs.
#include "control/sas.h"

namespace cygnet {
namespace {

bool Reached(uint64_t since, uint64_t limit, uint64_t now) {
  return limit != 0 && since != 0 && now >= since + limit;
}

bool ReachedHard(const LifetimeUsage& usage, const LifetimeLimits& limits, uint64_t now) {
  return Reached(usage.add_time, limits.hard_add_seconds, now) ||
         Reached(usage.use_time, limits.hard_use_seconds, now);
}

bool ReachedSoft(const LifetimeUsage& usage, const LifetimeLimits& limits, uint64_t now) {
  return Reached(usage.add_time, limits.soft_add_seconds, now) ||
         Reached(usage.use_time, limits.soft_use_seconds, now);
}

// As if the soft limits had been reached just now.
void PutAtSoftLimits(Lifetime* lifetime, const LifetimeLimits& limits, uint64_t now) {
  const LifetimeUsage usage = lifetime->usage();
  const auto at_most = [now](uint64_t since, uint64_t limit) {
    return Reached(since, limit, now) ? now - limit : since;
  };
  lifetime->SetTimes(at_most(usage.add_time, limits.soft_add_seconds),
                     at_most(usage.use_time, limits.soft_use_seconds));
}

}  // namespace

void Sas::ExpireHard(const SaPtr& sa, const RequestOrigin& origin) {
  parts_.announcer->Note(SaExpired{sa, true});
  parts_.announcer->Notify(SaExpired{sa, true}, origin);
  Remove(sa);
}

void Sas::ExpireSoft(const SaPtr& sa, const RequestOrigin& origin) {
  if (sa->state() == SaState::kValid) sa->set_state(SaState::kDying);
  path_.BumpGeneration();
  parts_.announcer->Notify(SaExpired{sa, false}, origin);
}

// An SA is looked at every second, so its soft limit comes first. If both are reached at once, the
// clock was set forward; a machine without one of its own does that after its start. Then the SA
// gets the time between its limits, in which the IKE daemon can replace it (kernel:
// xfrm_timer_handler).
void Sas::CheckTimes(const SaPtr& sa, uint64_t now) {
  const LifetimeLimits limits = sa->lifetime().limits();
  const LifetimeUsage usage = sa->lifetime().usage();
  const bool hard = ReachedHard(usage, limits, now);
  const bool soft = !sa->lifetime().soft_time_signalled() && sa->state() == SaState::kValid &&
                    ReachedSoft(usage, limits, now);
  if (soft) {
    if (hard) PutAtSoftLimits(&sa->lifetime(), limits, now);
    sa->lifetime().SetSoftTimeSignalled(true);
    ExpireSoft(sa);
  } else if (hard) {
    ExpireHard(sa);
  }
}

// Of an SA that was not looked at for a while.
void Sas::CheckKeptTimes(const SaPtr& sa) {
  const uint64_t now = parts_.clock->WallSeconds();
  const bool over = ReachedHard(sa->lifetime().usage(), sa->lifetime().limits(), now);
  over ? ExpireHard(sa) : CheckTimes(sa, now);
}

}  // namespace cygnet
