// FakeXfrmControl: the simplest SAD and SPD that answer like a kernel: lists in memory, no packets,
// no timers, no devices. For tests and fuzzing of the XFRM protocol.
#pragma once

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "requests/xfrm_control.h"

namespace cygnet::test {

class FakeXfrmControl final : public XfrmControl {
 public:
  struct FakeSa {
    SaPtr face;  // handed out for it; empty
    SaSpec spec;
    SaState state = SaState::kValid;
    LifetimeUsage usage;
    SaStats stats;
    ReplayState replay;
    std::optional<OffloadRequest> offload;
    uint64_t last_used = 0;
  };

  ControlListener* listener = nullptr;
  ChangeJournal* journal = nullptr;
  // Result of AddSa for an SA that requests offload; set by tests.
  std::optional<Error> offload_error;
  // The same for a policy.
  std::optional<Error> policy_offload_error{};
  uint64_t policy_add_time = 0;  // of policies from now on
  int policy_times_checked = 0;
  uint32_t last_larval_seconds = 0;
  RequestOrigin last_origin;

  // Newest last.
  std::vector<std::shared_ptr<FakeSa>> sas;
  std::vector<PolicyView> policies;
  std::vector<PolicyView> socket_policies;
  SocketPolicyChange last_socket_change;

  Status AddSa(SaSpec spec, const RequestOrigin& origin) override {
    last_origin = origin;
    if (spec.offload && offload_error) return *offload_error;
    if (Find(IdOf(spec))) return MakeError(Errc::kExists);
    auto sa = MakeSa(std::move(spec), SaState::kValid);
    CYGNET_RETURN_IF_ERROR(Prepare(SaAdded{Opaque(sa)}));
    sas.push_back(std::move(sa));
    Notify(SaAdded{Opaque(sas.back())}, origin);
    return {};
  }

  Status UpdateSa(SaSpec spec, const RequestOrigin& origin) override {
    const auto old = Find(IdOf(spec));
    if (!old) return MakeError(Errc::kNoSuchProcess);
    if (old->state == SaState::kLarval) {
      FakeSa made = Made(std::move(spec), SaState::kValid);
      made.face = old->face;
      *old = std::move(made);
    } else {
      old->spec.limits = spec.limits;
    }
    Notify(SaUpdated{Opaque(old)}, origin);
    return {};
  }

  Status DeleteSa(const SaId& id, const RequestOrigin& origin) override {
    const auto sa = Find(id);
    if (!sa) return MakeError(Errc::kNoSuchProcess);
    Note(SaDeleted{Opaque(sa)});
    Remove(sa);
    Notify(SaDeleted{Opaque(sa)}, origin);
    return {};
  }

  Result<ConstSaPtr> GetSa(const SaId& id) const override {
    const auto sa = Find(id);
    if (!sa) return MakeError(Errc::kNoSuchProcess);
    return Opaque(sa);
  }

  bool FlushSas(uint8_t proto, const RequestOrigin& origin) override {
    Note(SaFlushed{proto});
    const auto stays = [&](const auto& sa) {
      return proto != 0 && proto != 255 && sa->spec.proto != proto;
    };
    const auto first = std::stable_partition(sas.begin(), sas.end(), stays);
    if (first == sas.end()) return false;
    for (auto it = first; it != sas.end(); ++it) (*it)->state = SaState::kDead;
    sas.erase(first, sas.end());
    Notify(SaFlushed{proto}, origin);
    return true;
  }

  Result<ConstSaPtr> AllocateSpi(SpiRequest request) override {
    last_larval_seconds = request.larval_lifetime_seconds;
    SaSpec& spec = request.spec;
    Selector& selector = *spec.selector.Change();
    selector = {};
    selector.saddr = spec.saddr;
    selector.daddr = spec.daddr;
    selector.prefixlen_s = static_cast<uint8_t>(AddressBits(spec.family));
    selector.prefixlen_d = selector.prefixlen_s;
    spec.limits = LifetimeLimits{};
    spec.limits.Change()->hard_add_seconds = request.larval_lifetime_seconds;
    spec.flags = 0;
    spec.spi = Spi(request.min);
    const bool taken = std::any_of(sas.begin(), sas.end(), [&](const auto& sa) {
      return sa->spec.spi == spec.spi && sa->spec.proto == spec.proto;
    });
    if (taken || request.min == 0) spec.spi = Spi(0);
    auto sa = FindLarvalWithoutSpi(spec);
    if (!sa) {
      sa = MakeSa(std::exchange(spec, {}), SaState::kLarval);
      sas.push_back(sa);
    } else if (spec.spi.value != 0) {
      sa->spec.spi = spec.spi;
    }
    if (spec.direction != SaDirection::kUnspec) sa->spec.direction = spec.direction;
    if (sa->spec.spi.value == 0) {
      return MakeError(Errc::kNoEntry, "No SPI available in the requested range");
    }
    return Opaque(sa);
  }

  Status ExpireSa(const SaId& id, bool hard, const RequestOrigin& origin = {}) override {
    const auto sa = Find(id);
    if (!sa) return MakeError(Errc::kNoEntry);
    if (sa->state != SaState::kValid) {
      return MakeError(Errc::kInvalid, "SA must be in VALID state");
    }
    if (hard) Note(SaExpired{Opaque(sa), true});
    if (hard) Remove(sa);
    Notify(SaExpired{Opaque(sa), hard}, origin);
    return {};
  }

  Result<AeventView> GetAevent(const SaId& id) const override {
    const auto sa = Find(id);
    if (!sa) return MakeError(Errc::kNoSuchProcess);
    return AeventView{Opaque(sa), sa->spec.rare->replay_max_diff.value_or(2),
                      sa->spec.rare->replay_max_age.value_or(10)};
  }

  Status UpdateAevent(const AeventChange& change, const RequestOrigin& origin) override {
    const auto sa = Find(change.id);
    if (!sa) return MakeError(Errc::kNoSuchProcess);
    if (sa->state != SaState::kValid) {
      return MakeError(Errc::kInvalid, "SA must be in VALID state");
    }
    if (change.replay_fault) return *change.replay_fault;
    if (change.replay) sa->replay = *change.replay;
    if (change.usage) sa->usage = *change.usage;
    if (change.max_diff) sa->spec.rare.Change()->replay_max_diff = change.max_diff;
    if (change.max_age) sa->spec.rare.Change()->replay_max_age = change.max_age;
    Notify(SaAevent{Opaque(sa), AeventCause::kUpdate}, origin);
    return {};
  }

  void RequestAcquire(AcquireRequest request) override {
    for (std::size_t i = 0; i < request.policy.templates.size(); ++i) {
      Notify(AcquireRequested{.request = request, .template_index = i, .seq = ++acquire_sequence_},
             {});
    }
  }

  // Migrates only policies, and only by their exact selector.
  Status Migrate(const Migration& migration) override {
    PolicyId id;
    id.selector = migration.selector;
    id.direction = migration.direction;
    id.type = migration.type;
    const auto policy = FindPolicy(id);
    if (policy == policies.end()) return MakeError(Errc::kNoEntry, "Target policy not found");
    if (policy->spec.templates.empty()) return MakeError(Errc::kNoData);
    const MigrateEntry& entry = migration.entries.front();
    PolicyView after = *policy;
    after.spec.templates[0].daddr = entry.new_daddr;
    after.spec.templates[0].saddr = entry.new_saddr;
    CYGNET_RETURN_IF_ERROR(Prepare(PolicyUpdated{after}));
    *policy = after;
    Notify(Migrated{migration}, {});
    return {};
  }

  // Changes only addresses, reqid and selector.
  Status MigrateSa(const SaMigration& migration, const RequestOrigin& origin) override {
    const auto sa = Find(migration.id);
    if (!sa) return MakeError(Errc::kNoSuchProcess, "Can not find state");
    sa->spec.saddr = migration.new_saddr;
    sa->spec.daddr = migration.new_daddr;
    sa->spec.family = migration.new_family;
    sa->spec.reqid = migration.new_reqid;
    if (migration.selector) sa->spec.selector = *migration.selector;
    Notify(SaMigrated{migration, Opaque(sa)}, origin);
    return {};
  }

  std::vector<ConstSaPtr> ListSas() const override {
    std::vector<ConstSaPtr> list;
    for (auto it = sas.rbegin(); it != sas.rend(); ++it) list.push_back(Opaque(*it));
    return list;
  }

  SaView Inspect(const Sa& sa) const override {
    const FakeSa& fake = *faces_.at(&sa);
    return {.spec = &fake.spec,
            .state = fake.state,
            .usage = fake.usage,
            .stats = fake.stats,
            .replay = fake.replay,
            .offload = fake.offload,
            .last_used = fake.last_used};
  }

  SadInfo GetSadInfo() const override { return {.count = static_cast<uint32_t>(sas.size())}; }

  Status AddPolicy(PolicySpec spec, const RequestOrigin& origin) override {
    if (FindPolicy(cygnet::IdOf(spec)) != policies.end()) return MakeError(Errc::kExists);
    ChooseIndex(&spec);
    const PolicyView added{std::move(spec), {.add_time = policy_add_time}};
    CYGNET_RETURN_IF_ERROR(Prepare(PolicyAdded{added}));
    policies.push_back(added);
    Notify(PolicyAdded{policies.back()}, origin);
    return {};
  }

  Status UpdatePolicy(PolicySpec spec, const RequestOrigin& origin) override {
    if (spec.offload && policy_offload_error) return *policy_offload_error;
    const auto old = FindPolicy(cygnet::IdOf(spec));
    if (old != policies.end()) spec.index = old->spec.index;
    ChooseIndex(&spec);
    const PolicyView updated{std::move(spec), {.add_time = policy_add_time}};
    CYGNET_RETURN_IF_ERROR(Prepare(PolicyUpdated{updated}));
    if (old != policies.end()) policies.erase(old);
    policies.push_back(updated);
    Notify(PolicyUpdated{policies.back()}, origin);
    return {};
  }

  Status RestorePolicy(PolicySpec spec, uint64_t add_time) override {
    const PolicyId id = cygnet::IdOf(spec);
    CYGNET_RETURN_IF_ERROR(UpdatePolicy(std::move(spec), {}));
    FindPolicy(id)->usage.add_time = add_time;
    return {};
  }

  void CheckPolicyTimes() override { ++policy_times_checked; }

  Status DeletePolicy(const PolicyId& id, const RequestOrigin& origin) override {
    const auto at = FindPolicy(id);
    if (at == policies.end()) return MakeError(Errc::kNoEntry);
    const PolicyView gone = *at;
    CYGNET_RETURN_IF_ERROR(Prepare(PolicyDeleted{gone, id}));
    policies.erase(at);
    Notify(PolicyDeleted{gone, id}, origin);
    return {};
  }

  Result<PolicyView> GetPolicy(const PolicyId& id) const override {
    const auto at = const_cast<FakeXfrmControl*>(this)->FindPolicy(id);
    if (at == policies.end()) return MakeError(Errc::kNoEntry);
    return *at;
  }

  Status ExpirePolicy(const PolicyId& id, bool hard, const RequestOrigin& origin = {}) override {
    const auto at = FindPolicy(id);
    if (at == policies.end()) return MakeError(Errc::kNoEntry);
    const PolicyView policy = *at;
    if (hard) {
      CYGNET_RETURN_IF_ERROR(Prepare(PolicyExpired{policy, true}));
      policies.erase(at);
    }
    Notify(PolicyExpired{policy, hard}, origin);
    return {};
  }

  Result<bool> FlushPolicies(PolicyType type, const RequestOrigin& origin) override {
    CYGNET_RETURN_IF_ERROR(Prepare(PolicyFlushed{type}));
    const std::size_t erased =
        std::erase_if(policies, [&](const PolicyView& p) { return p.spec.type == type; });
    if (erased != 0) Notify(PolicyFlushed{type}, origin);
    return erased != 0;
  }

  std::vector<PolicyView> ListPolicies() const override {
    return {policies.rbegin(), policies.rend()};
  }

  std::vector<std::shared_ptr<const Policy>> PoliciesInForce() const override {
    std::vector<std::shared_ptr<const Policy>> all;
    for (const PolicyView& view : ListPolicies()) {
      const auto policy = std::make_shared<Policy>();
      policy->spec = view.spec;
      policy->place = view.place;
      policy->add_time = view.usage.add_time;
      policy->Touch(view.usage.use_time);
      all.push_back(policy);
    }
    return all;
  }

  // Only by cookie and direction: the fake does not notice that a socket ends.
  Status ChangeSocketPolicy(SocketPolicyChange change) override {
    last_socket_change = change;
    std::erase_if(socket_policies, [&](const PolicyView& p) {
      return !change.spec || p.spec.direction == change.spec->direction;
    });
    if (!change.spec) return {};
    change.spec->of_socket = true;
    socket_policies.push_back({*std::move(change.spec), {}});
    return {};
  }
  std::vector<PolicyView> ListSocketPolicies() const override {
    return {socket_policies.rbegin(), socket_policies.rend()};
  }

  SpdInfo GetSpdInfo() const override {
    SpdInfo info;
    for (const auto& p : policies) ++info.count[static_cast<std::size_t>(p.spec.direction)];
    for (const auto& p : socket_policies) {
      ++info.of_sockets[static_cast<std::size_t>(p.spec.direction)];
    }
    return info;
  }

  Status SetDefaults(const std::array<std::optional<PolicyAction>, kPolicyDirections>& actions,
                     const RequestOrigin& origin) override {
    DefaultsChanged change{defaults_};
    for (std::size_t i = 0; i < actions.size(); ++i) {
      change.named[i] = actions[i].has_value();
      change.actions[i] = actions[i].value_or(defaults_[i]);
    }
    CYGNET_RETURN_IF_ERROR(Prepare(change));
    defaults_ = change.actions;
    Notify(change, origin);
    return {};
  }

  std::array<PolicyAction, kPolicyDirections> GetDefaults() const override { return defaults_; }

  // For tests: sends an event of the stack itself.
  void Notify(const ControlEvent& event, const RequestOrigin& origin) {
    if (listener != nullptr) listener->OnControlEvent(event, origin);
  }
  // The server only passes this pointer back to Inspect.
  static ConstSaPtr Opaque(const std::shared_ptr<FakeSa>& sa) { return sa->face; }

 private:
  static SaId IdOf(const SaSpec& spec) {
    return {.daddr = spec.daddr, .spi = spec.spi, .proto = spec.proto, .family = spec.family};
  }

  static FakeSa Made(SaSpec spec, SaState state) {
    FakeSa sa;
    sa.state = state;
    sa.usage = spec.rare->initial_usage.value_or(LifetimeUsage{});
    sa.replay = spec.replay;
    sa.offload = spec.offload;
    sa.spec = std::move(spec);
    return sa;
  }
  std::shared_ptr<FakeSa> MakeSa(SaSpec spec, SaState state) {
    auto sa = std::make_shared<FakeSa>(Made(std::move(spec), state));
    sa->face = MakeSharedSa(SaSpec{}, 0, Sa::Larval{});
    faces_[sa->face.get()] = sa;
    return sa;
  }

  std::shared_ptr<FakeSa> Find(const SaId& id) const {
    for (const auto& sa : sas) {
      const SaSpec& s = sa->spec;
      if (s.daddr == id.daddr && s.spi == id.spi && s.proto == id.proto && s.family == id.family) {
        return sa;
      }
    }
    return nullptr;
  }

  std::shared_ptr<FakeSa> FindLarvalWithoutSpi(const SaSpec& wanted) const {
    for (const auto& sa : sas) {
      const SaSpec& s = sa->spec;
      if (sa->state == SaState::kLarval && s.spi.value == 0 && s.daddr == wanted.daddr &&
          s.saddr == wanted.saddr && s.proto == wanted.proto && s.family == wanted.family &&
          s.reqid == wanted.reqid && s.mode == wanted.mode) {
        return sa;
      }
    }
    return nullptr;
  }

  void Remove(const std::shared_ptr<FakeSa>& sa) {
    sa->state = SaState::kDead;
    std::erase(sas, sa);
  }

  std::vector<PolicyView>::iterator FindPolicy(const PolicyId& id) {
    return std::find_if(policies.begin(), policies.end(), [&](const PolicyView& view) {
      const PolicySpec& p = view.spec;
      const bool same = id.index != 0 ? p.index == id.index : p.selector == id.selector;
      return same && p.direction == id.direction && p.type == id.type && p.if_id == id.if_id &&
             p.mark_value == id.mark_value && p.mark_mask == id.mark_mask;
    });
  }

  // Indexes as in Linux: one counter for all directions, in steps of 8.
  void ChooseIndex(PolicySpec* spec) {
    while (spec->index == 0) {
      spec->index = next_index_ | static_cast<uint32_t>(spec->direction);
      next_index_ += 8;
    }
  }

  Status Prepare(const ControlEvent& change) {
    return journal != nullptr ? journal->Prepare(change) : Status{};
  }
  void Note(const ControlEvent& change) {
    if (journal != nullptr) journal->Note(change);
  }

  std::unordered_map<const Sa*, std::shared_ptr<FakeSa>> faces_;  // also of removed ones
  std::array<PolicyAction, kPolicyDirections> defaults_{};
  uint32_t next_index_ = 0;
  uint32_t acquire_sequence_ = 0;
};

}  // namespace cygnet::test
