#include "control/policies.h"

#include <utility>

#include "control/policy_view.h"

namespace cygnet {
namespace {

void FillTemplateFamilies(PolicySpec* spec) {
  for (Template& tmpl : spec->templates) {
    if (tmpl.family == IpFamily::kUnspec) tmpl.family = spec->selector.family;
  }
}

}  // namespace

void Policies::Remove(const std::shared_ptr<Policy>& policy) {
  const std::shared_ptr<Policy> keep = policy;
  path_.spd.Remove(keep);
  path_.BumpGeneration();
  devices_.Take(*keep);
}

// The device gets a policy before the SPD, and before it is known whether the SPD has one of that
// identity (kernel: xfrm_add_policy).
Status Policies::Add(PolicySpec spec, const RequestOrigin& origin) {
  CYGNET_RETURN_IF_ERROR(own_devices_.RefuseForeignInterface(spec.selector));
  CYGNET_RETURN_IF_ERROR(tunnels_.Judge(&spec));
  FillTemplateFamilies(&spec);
  CYGNET_RETURN_IF_ERROR(devices_.Resolve(&spec));
  auto offer = devices_.Give(spec);
  if (!offer) return offer.error();
  if (path_.spd.Find(IdOf(spec)) != nullptr) return MakeError(Errc::kExists);
  spec.index = path_.spd.ChooseIndex(spec);
  CYGNET_RETURN_IF_ERROR(
      announcer_.Prepare(PolicyAdded{{.spec = spec, .usage = {.add_time = clock_.WallSeconds()}}}));
  const auto policy = path_.spd.Insert(std::move(spec), clock_.WallSeconds());
  path_.BumpGeneration();
  devices_.Accept(*std::move(offer), policy);
  announcer_.Notify(PolicyAdded{ViewOf(*policy)}, origin);
  return {};
}

Status Policies::Update(PolicySpec spec, const RequestOrigin& origin) {
  const auto policy = Put(std::move(spec), clock_.WallSeconds(), origin);
  return policy ? Status{} : policy.error();
}

Status Policies::Restore(PolicySpec spec, uint64_t add_time) {
  const uint64_t now = clock_.WallSeconds();
  const PolicyLimits& limits = spec.limits;
  const bool ends_unused = limits.soft_use_seconds != 0 || limits.hard_use_seconds != 0;
  const auto policy = Put(std::move(spec), add_time != 0 ? add_time : now, {});
  if (!policy) return policy.error();
  if (ends_unused) (*policy)->use_time.store(now, std::memory_order_relaxed);
  return {};
}

Result<std::shared_ptr<Policy>> Policies::Put(PolicySpec spec, uint64_t add_time,
                                              const RequestOrigin& origin) {
  CYGNET_RETURN_IF_ERROR(own_devices_.RefuseForeignInterface(spec.selector));
  CYGNET_RETURN_IF_ERROR(tunnels_.Judge(&spec));
  FillTemplateFamilies(&spec);
  CYGNET_RETURN_IF_ERROR(devices_.Resolve(&spec));
  const auto old = path_.spd.Find(IdOf(spec));
  auto offer = old != nullptr ? devices_.Give(spec, PlaceAfter(*old, spec)) : devices_.Give(spec);
  if (!offer) return offer.error();
  spec.index = old != nullptr ? old->spec.index : path_.spd.ChooseIndex(spec);
  CYGNET_RETURN_IF_ERROR(
      announcer_.Prepare(PolicyUpdated{{.spec = spec, .usage = {.add_time = add_time}}}));
  auto policy = old != nullptr ? path_.spd.Replace(old, std::move(spec), add_time)
                               : path_.spd.Insert(std::move(spec), add_time);
  path_.BumpGeneration();
  devices_.Accept(*std::move(offer), policy);
  if (old != nullptr) devices_.Take(*old);
  announcer_.Notify(PolicyUpdated{ViewOf(*policy)}, origin);
  return policy;
}

uint64_t Policies::PlaceAfter(const Policy& old, const PolicySpec& next) const {
  return path_.spd.KeepsPlace(old, next) ? old.place : DevicePolicyTable::kNewest;
}

Status Policies::Delete(const PolicyId& id, const RequestOrigin& origin) {
  const auto policy = path_.spd.Find(id);
  if (policy == nullptr) return MakeError(Errc::kNoEntry);
  CYGNET_RETURN_IF_ERROR(announcer_.Prepare(PolicyDeleted{ViewOf(*policy), id}));
  Remove(policy);
  announcer_.Notify(PolicyDeleted{ViewOf(*policy), id}, origin);
  return {};
}

Result<PolicyView> Policies::Get(const PolicyId& id) const {
  const auto policy = path_.spd.Find(id);
  if (policy == nullptr) return MakeError(Errc::kNoEntry);
  return ViewOf(*policy);
}

Status Policies::Expire(const PolicyId& id, bool hard, const RequestOrigin& origin) {
  const auto policy = path_.spd.Find(id);
  if (policy == nullptr) return MakeError(Errc::kNoEntry);
  if (hard) {
    CYGNET_RETURN_IF_ERROR(announcer_.Prepare(PolicyExpired{ViewOf(*policy), true}));
    Remove(policy);
  }
  announcer_.Notify(PolicyExpired{ViewOf(*policy), hard}, origin);
  return {};
}

Result<bool> Policies::Flush(PolicyType type, const RequestOrigin& origin) {
  CYGNET_RETURN_IF_ERROR(announcer_.Prepare(PolicyFlushed{type}));
  const auto all = path_.spd.List();
  const bool any = path_.spd.RemoveAll(type) > 0;
  if (any) {
    path_.BumpGeneration();
    for (const auto& policy : all) {
      if (policy->spec.type == type) devices_.Take(*policy);
    }
    announcer_.Notify(PolicyFlushed{type}, origin);
  }
  return any;
}

std::vector<PolicyView> Policies::List() const {
  std::vector<PolicyView> views;
  for (const auto& policy : path_.spd.List()) views.push_back(ViewOf(*policy));
  return views;
}

Status Policies::SetDefaults(
    const std::array<std::optional<PolicyAction>, kPolicyDirections>& actions,
    const RequestOrigin& origin) {
  DefaultsChanged change{defaults_};
  for (std::size_t d = 0; d < actions.size(); ++d) {
    change.named[d] = actions[d].has_value();
    change.actions[d] = actions[d].value_or(defaults_[d]);
  }
  CYGNET_RETURN_IF_ERROR(announcer_.Prepare(change));
  for (std::size_t d = 0; d < actions.size(); ++d) {
    if (actions[d].has_value()) {
      defaults_[d] = *actions[d];
      path_.spd.SetDefault(static_cast<PolicyDirection>(d), *actions[d]);
    }
  }
  path_.BumpGeneration();
  announcer_.Notify(change, origin);
  return {};
}

void Policies::CheckTimes(const std::shared_ptr<Policy>& policy, uint64_t now) {
  constexpr uint64_t kSoftRepeatSeconds = 30;
  const PolicyLimits& limits = policy->spec.limits;
  const uint64_t used = policy->use_time.load(std::memory_order_relaxed);
  const uint64_t since_use = used != 0 ? used : policy->add_time;
  const auto reached = [now](uint64_t since, uint64_t limit) {
    return limit != 0 && now >= since + limit;
  };
  if (reached(policy->add_time, limits.hard_add_seconds) ||
      reached(since_use, limits.hard_use_seconds)) {
    Remove(policy);
    announcer_.Note(PolicyExpired{ViewOf(*policy), true});
    announcer_.Notify(PolicyExpired{ViewOf(*policy), true});
  } else if ((reached(policy->add_time, limits.soft_add_seconds) ||
              reached(since_use, limits.soft_use_seconds)) &&
             now >= policy->soft_signalled_at + kSoftRepeatSeconds) {
    policy->soft_signalled_at = now;
    announcer_.Notify(PolicyExpired{ViewOf(*policy), false});
  }
}

void Policies::CheckTimes() {
  const uint64_t now = clock_.WallSeconds();
  for (const auto& policy : path_.spd.List()) CheckTimes(policy, now);
}

void Policies::Lose(std::size_t device) {
  for (const auto& policy : devices_.RequestedOn(device)) {
    announcer_.Note(PolicyDeleted{ViewOf(*policy), IdOf(policy->spec)});
    Remove(policy);
  }
}

}  // namespace cygnet
