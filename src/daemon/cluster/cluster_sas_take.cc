// ClusterSas: what other nodes have put into the store.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "daemon/cluster/cluster_sas.h"
#include "daemon/cluster/cluster_sas_words.h"
#include "policy/lets_pass.h"

namespace cygnet {
namespace {

constexpr uint64_t kMaxRefusedLogged = 100;

// What a change of the control plane causes while it lives comes from the store.
class Applying {
 public:
  explicit Applying(bool* flag) : flag_(flag) { *flag_ = true; }
  ~Applying() { *flag_ = false; }
  Applying(const Applying&) = delete;
  Applying& operator=(const Applying&) = delete;

 private:
  bool* const flag_;
};

SaId IdOf(const SaSpec& spec) {
  return {.daddr = spec.daddr, .spi = spec.spi, .proto = spec.proto, .family = spec.family};
}

bool HasTheKeys(const Sa& sa, const SaSpec& spec) {
  const SaSpec& own = sa.spec();
  const auto same = [](const SaAlgorithm& a, const SaAlgorithm& b) {
    return a.descriptor == b.descriptor && a.icv_bits == b.icv_bits && a.key == b.key;
  };
  return sa.state() != SaState::kLarval && own.saddr == spec.saddr && own.mode == spec.mode &&
         own.direction == spec.direction && same(own.aead, spec.aead) &&
         same(own.pair->cipher, spec.pair->cipher) && same(own.pair->auth, spec.pair->auth);
}

// "NAME" of "PREFIX/NAME/SUFFIX".
std::optional<std::string> Part(const std::string& key, std::string_view prefix,
                                std::string_view suffix) {
  const std::string_view text(key);
  if (text.size() <= prefix.size() + suffix.size() || !text.starts_with(prefix) ||
      !text.ends_with(suffix)) {
    return std::nullopt;
  }
  return key.substr(prefix.size(), key.size() - prefix.size() - suffix.size());
}

}  // namespace

void ClusterSas::Take(const std::string& key, const std::string& value) {
  if (const auto group = Part(key, kComplete, "")) return TakeComplete(*group, value);
  if (const auto name = Part(key, "sa/", "/spec")) {
    return value.empty() ? LoseSa(*name) : TakeSa(*name, value);
  }
  if (const auto name = Part(key, "sa/", "/life")) return TakeUsage(*name, value);
  if (const auto name = Part(key, kPolicies, "")) {
    return value.empty() ? LosePolicy(*name) : TakePolicy(*name, value);
  }
  all_read_ |= key.empty();
}

void ClusterSas::Refuse(const std::string& key, const std::string& why) {
  const auto known = refused_.find(key);
  if (known != refused_.end() && known->second == why) return;
  ++refused_count_;
  if (refused_.size() < kMaxRefusedShown) refused_[key] = why;
  const std::string text = "an entry of the cluster's store is refused: " + key + ": " + why;
  if (refused_count_ <= kMaxRefusedLogged) Log(LogLevel::kError, text);
  if (params_.refused) params_.refused(text);
}

std::optional<Entry> ClusterSas::Open(const std::string& key, const std::string& value,
                                      EntryKind kind, const EntryPlace& seen, bool quiet) {
  auto entry = params_.seal.Open(key, value);
  if (!entry) {
    Refuse(key, entry.error().message);
    return std::nullopt;
  }
  if (entry->kind != kind) {
    Refuse(key, "it is an entry of another kind");
    return std::nullopt;
  }
  if (entry->place < seen && !quiet) {
    Refuse(key, std::string(kOlder) + " (epoch " + std::to_string(entry->place.epoch) +
                    "); somebody has put it back");
  }
  if (entry->place <= seen) return std::nullopt;
  return *std::move(entry);
}

// --- SAs ---

// Why an SA that can be read is not taken; empty: it is.
std::string ClusterSas::Objection(const std::string& name, const Entry& entry,
                                  const SaSpec& spec) const {
  const GroupId group = GroupOfShared(spec);
  if (SharedName(IdOf(spec), params_.secret) != name) return "it belongs elsewhere";
  if (group == 0) return kOfForeignGroup;
  if (IsOfEarlierEra(entry)) return kOfEarlierEra;
  const Group& state = groups_.at(group - 1);
  return entry.place.epoch < state.complete ? kOfEarlierOwner : "";
}

// Written by this node as the present owner. A later epoch proves that there is another owner.
bool ClusterSas::IsOurs(GroupId group, uint64_t epoch) {
  if (Owns(group) && epoch > groups_.at(group - 1).epoch) Lose(group, epoch);
  return Owns(group) && epoch == groups_.at(group - 1).epoch;
}

void ClusterSas::TakeSa(const std::string& name, const std::string& value) {
  const std::string key = "sa/" + name + "/spec";
  const auto known = sas_.find(name);
  const SaRow before = known == sas_.end() ? SaRow{} : known->second;
  const auto entry = Open(key, value, EntryKind::kSa, before.seen, before.by_us);
  if (!entry) return;
  auto sa = SaOf(entry->clear, entry->secret);
  if (!sa) return Refuse(key, sa.error().message);
  const std::string what = Describe(sa->spec);
  const std::string objection = Objection(name, *entry, sa->spec);
  if (objection == kOfEarlierEra) return TakeOldSa(name, *entry, GroupOfShared(sa->spec));
  if (!objection.empty()) return Refuse(key, what + ": " + objection);
  refused_.erase(key);
  const GroupId group = GroupOfShared(sa->spec);
  const bool is_ours = IsOurs(group, entry->place.epoch);
  if (is_ours || (Owns(group) && before.sa != nullptr)) {
    if (known != sas_.end()) known->second.seen = std::max(before.seen, entry->place);
    return;
  }
  const auto installed = Install(*std::move(sa), entry->era);
  if (installed && *installed == nullptr) return;  // its time was over
  SaRow& row = sas_[name];                         // a new one, if another SA had the place
  row = before;
  row.group = group;
  row.era = entry->era;
  row.stored = true;
  row.by_us = false;
  if (installed) {
    row.sa = *installed;
    row.seen = entry->place;
    row.waiting.clear();
    if (Owns(group)) unsent_.insert({Change::Of::kSa, name});
    return;
  }
  row.sa.reset();
  row.waiting = value;
  if (!before.waiting.empty()) return;
  Log(LogLevel::kWarning,
      "the cluster's SA " + what + " cannot be installed yet: " + installed.error().message);
}

bool ClusterSas::IsOfEarlierEra(const Entry& entry) const {
  return entry.era < params_.entries->era();
}

// It is of no use to anybody, so the owner removes it. Of an SA that is still here, the entry
// stays: it is shown until the SA is replaced.
void ClusterSas::TakeOldSa(const std::string& name, const Entry& entry, GroupId group) {
  Refuse("sa/" + name + "/spec", kOfEarlierEra);
  SaRow& row = sas_[name];
  row.group = group;
  if (row.sa != nullptr) return;
  row.era = entry.era;
  if (Owns(group)) unsent_.insert({Change::Of::kSa, name});
}

// Without numbers: the number store gives some once this node owns the group. nullptr: its time was
// over.
Result<ConstSaPtr> ClusterSas::Install(RestoredSa from, uint64_t era) {
  if (params_.entries->era() < era) {
    return MakeError(Errc::kNetworkDown, "the number store was not reached yet");
  }
  const SaId id = IdOf(from.spec);
  const auto existing = control_->FindSa(id.spi, id.daddr, id.family);
  if (existing != nullptr && existing->state() == SaState::kLarval) {
    return MakeError(Errc::kBusy, "a client of this node has reserved its SPI");
  }
  const Applying applying(&applying_);
  if (existing != nullptr && HasTheKeys(*existing, from.spec)) {
    Adopt(*existing, from);
    return existing;
  }
  if (existing != nullptr) CYGNET_RETURN_IF_ERROR(control_->DeleteSa(id, {}));
  control_->CatchUp();
  CYGNET_RETURN_IF_ERROR(control_->RestoreSa(std::move(from)));
  return control_->FindSa(id.spi, id.daddr, id.family);
}

void ClusterSas::Adopt(const Sa& sa, const RestoredSa& from) {
  const LifetimeLimits limits = sa.lifetime().limits();
  const bool same_encap = sa.spec().encap.has_value() == from.spec.encap.has_value() &&
                          (!sa.spec().encap.has_value() || *sa.spec().encap == *from.spec.encap);
  if (limits == from.spec.limits && same_encap) return;
  (void)control_->UpdateSa(from.spec.Clone(), {});
}

void ClusterSas::LoseSa(const std::string& name) {
  refused_.erase("sa/" + name + "/spec");
  const auto found = sas_.find(name);
  if (found == sas_.end()) return;
  SaRow& row = found->second;
  if (Owns(row.group)) {
    if (row.sa != nullptr && row.by_us) unsent_.insert({Change::Of::kSa, name});
    return;
  }
  const bool is_shared = row.stored;
  row.stored = false;
  row.waiting.clear();
  const ConstSaPtr sa = row.sa;
  if (sa == nullptr) {
    sas_.erase(found);
    return;
  }
  if (!is_shared) return;
  const Applying applying(&applying_);
  (void)control_->DeleteSa(sa->id(), {});
}

// --- Usage ---

void ClusterSas::TakeUsage(const std::string& name, const std::string& value) {
  if (value.empty()) return;
  const std::string key = "sa/" + name + "/life";
  const auto known = sas_.find(name);
  const SaRow* row = known == sas_.end() ? nullptr : &known->second;
  if (row != nullptr && Owns(row->group)) return;
  const auto entry = Open(key, value, EntryKind::kUsage,
                          row == nullptr ? EntryPlace{} : row->usage_seen, row != nullptr);
  if (!entry) return;
  const auto usage = UsageOf(entry->clear);
  if (!usage) return Refuse(key, usage.error().message);
  refused_.erase(key);
  SaRow& changed = sas_[name];  // it may come before its SA
  changed.usage = *usage;
  changed.usage_seen = entry->place;
}

// What the owner before may have used counts as used.
void ClusterSas::ApplyUsage(const SaRow& row) {
  LifetimeUsage now = row.sa->lifetime().usage();
  const LifetimeUsage& stored = row.usage.usage;
  if (stored.bytes <= now.bytes && stored.packets <= now.packets) return;
  now.bytes = std::max(now.bytes, stored.bytes);
  now.packets = std::max(now.packets, stored.packets);
  if (now.use_time == 0) now.use_time = stored.use_time;
  const Applying applying(&applying_);
  (void)control_->UpdateAevent({.id = row.sa->id(), .usage = now}, {});
}

// --- Policies ---

void ClusterSas::TakePolicy(const std::string& name, const std::string& value) {
  const std::string key = kPolicies + name;
  const auto known = policies_.find(name);
  const PolicyRow before = known == policies_.end() ? PolicyRow{} : known->second;
  const auto entry = Open(key, value, EntryKind::kPolicy, before.seen, before.by_us);
  if (!entry) return;
  auto spec = PolicyOf(entry->clear);
  if (!spec) return Refuse(key, spec.error().message);
  const GroupId group = GroupOfShared(*spec);
  if (SharedName(IdOf(*spec), params_.secret) != name) return Refuse(key, "it belongs elsewhere");
  if (group == 0) return Refuse(key, kOfForeignGroup);
  if (IsOfEarlierEra(*entry)) {
    const auto here = control_->GetPolicy(IdOf(*spec));
    const bool has_it = here && RecordOf(here->spec).clear == entry->clear;
    return Refuse(key, has_it ? kOfEarlierEraHere : kOfEarlierEra);
  }
  if (entry->place.epoch < groups_.at(group - 1).complete) return Refuse(key, kOfEarlierOwner);
  refused_.erase(key);
  const bool is_ours = IsOurs(group, entry->place.epoch);
  PolicyRow& row = policies_[name];
  row.group = group;
  row.id = IdOf(*spec);
  row.seen = entry->place;
  if (is_ours || (Owns(group) && before.stored)) return;
  row.stored = true;
  row.by_us = false;
  row.clear = entry->clear;
  const Status installed = InstallPolicy(&row, *std::move(spec));
  row.failed = !installed;
  if (!installed) return Refuse(key, kNotInstalled + installed.error().message);
  if (Owns(group)) unsent_.insert({Change::Of::kPolicy, name});
}

Status ClusterSas::InstallPolicy(PolicyRow* row, PolicySpec spec) {
  const auto existing = control_->GetPolicy(row->id);
  if (existing && RecordOf(existing->spec).clear == row->clear) return {};
  const Applying applying(&applying_);
  const Status done = control_->UpdatePolicy(std::move(spec), {});
  if (done && !existing) row->installed_here = true;
  return done;
}

// Whether an entry or a client of this node brought it to the process before is not known. One that
// protects or blocks stays in doubt; one that lets packets pass in clear goes.
bool ClusterSas::IsRestoredBypass(const PolicyRow& row) const {
  if (!row.restored) return false;
  const auto present = control_->GetPolicy(row.id);
  return present && LetsPassInClear(present->spec);
}

// As an SA that cannot be installed yet.
void ClusterSas::InstallFailed() {
  int left = 64;
  for (auto& [name, row] : policies_) {
    if (!row.failed) continue;
    if (left-- == 0) return;
    auto spec = PolicyOf(row.clear);
    if (!spec || !InstallPolicy(&row, *std::move(spec))) continue;
    row.failed = false;
    // A newer entry may be refused for another reason.
    const auto refused = refused_.find(kPolicies + name);
    if (refused != refused_.end() && refused->second.starts_with(kNotInstalled)) {
      refused_.erase(refused);
    }
    if (Owns(row.group)) unsent_.insert({Change::Of::kPolicy, name});
  }
}

void ClusterSas::LosePolicy(const std::string& name) {
  refused_.erase(kPolicies + name);
  const auto found = policies_.find(name);
  if (found == policies_.end()) return;
  PolicyRow& row = found->second;
  if (Owns(row.group)) {
    unsent_.insert({Change::Of::kPolicy, name});
    row.stored = false;
    return;
  }
  if (row.installed_here || IsRestoredBypass(row)) {
    const Applying applying(&applying_);
    (void)control_->DeletePolicy(row.id, {});
  }
  policies_.erase(found);
}

// --- A new owner has written everything anew ---

void ClusterSas::TakeComplete(const std::string& group, const std::string& value) {
  if (value.empty()) return;
  for (GroupId id = 1; id <= groups_.size(); ++id) {
    if (params_.groups.Name(id) != group) continue;
    const auto entry = Open(CompleteKey(group), value, EntryKind::kSealed, {}, true);
    if (!entry) return;
    Group& state = groups_.at(id - 1);
    state.complete = std::max(state.complete, entry->place.epoch);
    if (!Owns(id)) DropOld(id, state.complete);
  }
}

// What came before the mark, but is older than it; and SAs and bypasses of the process before that
// ended on the owner while this node was away.
void ClusterSas::DropOld(GroupId group, uint64_t epoch) {
  std::vector<std::string> sas;
  for (auto& [name, row] : sas_) {
    if (row.group != group || row.sa == nullptr) continue;
    const bool is_old = row.stored && row.seen.epoch < epoch;
    if (is_old || (row.restored && !row.stored)) sas.push_back(name);
  }
  for (const std::string& name : sas) {
    const bool is_old = std::exchange(sas_[name].stored, true);
    LoseSa(name);
    if (is_old) Refuse("sa/" + name + "/spec", kOfEarlierOwner);
  }
  std::vector<std::string> policies;
  for (const auto& [name, row] : policies_) {
    if (row.group != group) continue;
    const bool is_old = row.stored && row.seen.epoch < epoch;
    if (is_old || (!row.stored && IsRestoredBypass(row))) policies.push_back(name);
  }
  for (const std::string& name : policies) {
    const bool is_old = policies_[name].stored;
    LosePolicy(name);
    if (is_old) Refuse(kPolicies + name, kOfEarlierOwner);
  }
}

// The store went back, and with it the epochs.
void ClusterSas::ForgetPlaces() {
  for (Group& group : groups_) group.complete = 0;
  for (auto& [name, row] : sas_) {
    row.seen = {};
    row.usage_seen = {};
  }
  for (auto& [name, row] : policies_) {
    row.seen = {};
    row.stored = false;
  }
}

}  // namespace cygnet
