// NEWPOLICY, DELPOLICY … as a Linux kernel answers them.
#include "control/control_plane.h"
#include "control/policy_view.h"

namespace cygnet {
namespace {

void FillTemplateFamilies(PolicySpec* spec) {
  for (Template& tmpl : spec->templates) {
    if (tmpl.family == IpFamily::kUnspec) tmpl.family = spec->selector.family;
  }
}

}  // namespace

// What leaves or arrives by another interface never comes here, so that nothing would be enforced.
Status ControlPlane::RefuseForeignInterface(const Selector& selector) const {
  if (selector.ifindex == 0 || DeviceWith(selector.ifindex) != nullptr) return {};
  return MakeError(Errc::kNotSupported,
                   "The selector names an interface that is not one of Cygnet's");
}

Status ControlPlane::AddPolicy(PolicySpec spec, const RequestOrigin& origin) {
  CYGNET_RETURN_IF_ERROR(RefuseForeignInterface(spec.selector));
  FillTemplateFamilies(&spec);
  if (path_.spd.Find(IdOf(spec)) != nullptr) return MakeError(Errc::kExists);
  spec.index = path_.spd.ChooseIndex(spec);
  CYGNET_RETURN_IF_ERROR(Prepare(PolicyAdded{{.spec = spec, .usage = {.add_time = Now()}}}));
  const auto policy = path_.spd.Insert(std::move(spec), Now());
  path_.BumpGeneration();
  Tell(PolicyAdded{ViewOf(*policy)}, origin);
  return {};
}

Status ControlPlane::UpdatePolicy(PolicySpec spec, const RequestOrigin& origin) {
  CYGNET_RETURN_IF_ERROR(RefuseForeignInterface(spec.selector));
  FillTemplateFamilies(&spec);
  const auto old = path_.spd.Find(IdOf(spec));
  std::shared_ptr<Policy> policy;
  spec.index = old != nullptr ? old->spec.index : path_.spd.ChooseIndex(spec);
  CYGNET_RETURN_IF_ERROR(Prepare(PolicyUpdated{{.spec = spec, .usage = {.add_time = Now()}}}));
  if (old != nullptr) {
    policy = path_.spd.Replace(old, std::move(spec), Now());
  } else {
    policy = path_.spd.Insert(std::move(spec), Now());
  }
  path_.BumpGeneration();
  Tell(PolicyUpdated{ViewOf(*policy)}, origin);
  return {};
}

Status ControlPlane::DeletePolicy(const PolicyId& id, const RequestOrigin& origin) {
  const auto policy = path_.spd.Find(id);
  if (policy == nullptr) return MakeError(Errc::kNoEntry);
  CYGNET_RETURN_IF_ERROR(Prepare(PolicyDeleted{ViewOf(*policy), id}));
  path_.spd.Remove(policy);
  path_.BumpGeneration();
  Tell(PolicyDeleted{ViewOf(*policy), id}, origin);
  return {};
}

Result<PolicyView> ControlPlane::GetPolicy(const PolicyId& id) const {
  const auto policy = path_.spd.Find(id);
  if (policy == nullptr) return MakeError(Errc::kNoEntry);
  return ViewOf(*policy);
}

Status ControlPlane::ExpirePolicy(const PolicyId& id, bool hard, const RequestOrigin& origin) {
  const auto policy = path_.spd.Find(id);
  if (policy == nullptr) return MakeError(Errc::kNoEntry);
  if (hard) {
    CYGNET_RETURN_IF_ERROR(Prepare(PolicyExpired{ViewOf(*policy), true}));
    path_.spd.Remove(policy);
    path_.BumpGeneration();
  }
  Tell(PolicyExpired{ViewOf(*policy), hard}, origin);
  return {};
}

Result<bool> ControlPlane::FlushPolicies(PolicyType type, const RequestOrigin& origin) {
  CYGNET_RETURN_IF_ERROR(Prepare(PolicyFlushed{type}));
  const bool any = path_.spd.RemoveAll(type) > 0;
  if (any) {
    path_.BumpGeneration();
    Tell(PolicyFlushed{type}, origin);
  }
  return any;
}

std::vector<PolicyView> ControlPlane::ListPolicies() const {
  std::vector<PolicyView> views;
  for (const auto& policy : path_.spd.List()) views.push_back(ViewOf(*policy));
  return views;
}

SpdInfo ControlPlane::GetSpdInfo() const {
  return {.count = path_.spd.Counts(), .of_sockets = socket_policies_.Counts()};
}

Status ControlPlane::ChangeSocketPolicy(SocketPolicyChange change) {
  return socket_policies_.Change(std::move(change));
}

std::vector<PolicyView> ControlPlane::ListSocketPolicies() const { return socket_policies_.List(); }

Status ControlPlane::SetDefaults(
    const std::array<std::optional<PolicyAction>, kPolicyDirections>& actions,
    const RequestOrigin& origin) {
  DefaultsChanged change{defaults_};
  for (std::size_t d = 0; d < actions.size(); ++d) {
    change.named[d] = actions[d].has_value();
    change.actions[d] = actions[d].value_or(defaults_[d]);
  }
  CYGNET_RETURN_IF_ERROR(Prepare(change));
  for (std::size_t d = 0; d < actions.size(); ++d) {
    if (actions[d].has_value()) {
      defaults_[d] = *actions[d];
      path_.spd.SetDefault(static_cast<PolicyDirection>(d), *actions[d]);
    }
  }
  path_.BumpGeneration();
  Tell(change, origin);
  return {};
}

std::array<PolicyAction, kPolicyDirections> ControlPlane::GetDefaults() const { return defaults_; }

// Hard removes; soft is said again every 30 s (kernel: xfrm_policy_timer).
void ControlPlane::CheckTimes(const std::shared_ptr<Policy>& policy, uint64_t now) {
  constexpr uint64_t kSoftRepeatSeconds = 30;
  const PolicyLimits& limits = policy->spec.limits;
  const uint64_t used = policy->use_time.load(std::memory_order_relaxed);
  const uint64_t since_use = used != 0 ? used : policy->add_time;
  const auto reached = [now](uint64_t since, uint64_t limit) {
    return limit != 0 && now >= since + limit;
  };
  if (reached(policy->add_time, limits.hard_add_seconds) ||
      reached(since_use, limits.hard_use_seconds)) {
    path_.spd.Remove(policy);
    path_.BumpGeneration();
    Note(PolicyExpired{ViewOf(*policy), true});
    Tell(PolicyExpired{ViewOf(*policy), true});
  } else if ((reached(policy->add_time, limits.soft_add_seconds) ||
              reached(since_use, limits.soft_use_seconds)) &&
             now >= policy->soft_signalled_at + kSoftRepeatSeconds) {
    policy->soft_signalled_at = now;
    Tell(PolicyExpired{ViewOf(*policy), false});
  }
}

}  // namespace cygnet
