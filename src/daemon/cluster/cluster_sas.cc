#include "daemon/cluster/cluster_sas.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/log.h"
#include "daemon/cluster/cluster_sas_words.h"

namespace cygnet {
namespace {

// Another node owns the group already, and its event is on the way.
bool IsOfAnother(const Status& sent) { return !sent && sent.error().code == Errc::kPermission; }

Status Named(const Status& sent) {
  return MakeError(sent.error().code,
                   "the cluster's store did not take it, so other nodes could not go on with it: " +
                       sent.error().message);
}

}  // namespace

Status CheckSharing(const ClusterConfig& config, bool fips_enforced) {
  if (config.share != ClusterShare::kSas) return {};
  if (fips_enforced && !config.share_in_fips_mode) {
    return MakeError(Errc::kNotSupported,
                     "cluster.share: in FIPS mode no key leaves this host; use \"numbers\", or set "
                     "share_in_fips_mode = true if your boundary allows wrapped keys in etcd");
  }
  return {};
}

ClusterSas::ClusterSas(Params params)
    : params_(std::move(params)), groups_(params_.groups.size()) {}

void ClusterSas::Start(ControlPlane* control) {
  control_ = control;
  for (const auto& sa : control_->ListSas()) Keep(sa);
  for (auto& [name, row] : sas_) row.restored = true;
  for (const PolicyView& policy : control_->ListPolicies()) (void)PreparePolicy(policy);
  for (auto& [name, row] : policies_) row.restored = true;
}

GroupId ClusterSas::GroupOfShared(const SaSpec& spec) const {
  return CanBeShared(spec.selector) ? params_.groups.Of(spec) : 0;
}
GroupId ClusterSas::GroupOfShared(const PolicySpec& spec) const {
  return CanBeShared(spec) ? params_.groups.Of(spec) : 0;
}

// --- StateKeeper ---

void ClusterSas::Keep(const ConstSaPtr& sa) {
  if (control_ == nullptr || sa->state() == SaState::kLarval) return;
  const GroupId group = GroupOfShared(sa->spec());
  if (group == 0) return;
  const std::string name = SharedName(sa->id(), params_.secret);
  SaRow& row = sas_[name];
  const bool is_prepared = row.group == group && row.sa == sa;
  row.group = group;
  row.sa = sa;
  if (applying_ || is_prepared) return;
  row.era = params_.entries->era();
  if (Owns(group)) unsent_.insert({Change::Of::kSa, name});
}

void ClusterSas::Update(const Sa& sa) {
  if (is_passive()) return;
  const std::string name = SharedName(sa.id(), params_.secret);
  const auto row = sas_.find(name);
  if (row == sas_.end() || row->second.sa.get() != &sa) return;
  if (Owns(row->second.group)) unsent_.insert({Change::Of::kSa, name});
}

// A client of a node that does not own the group may remove its SAs there, as IKE daemons do when
// they start. The store still has them, so they come back.
void ClusterSas::Forget(const Sa& sa) {
  if (control_ == nullptr) return;
  const std::string name = SharedName(sa.id(), params_.secret);
  const auto found = sas_.find(name);
  if (found == sas_.end() || found->second.sa.get() != &sa) return;
  SaRow& row = found->second;
  if (Owns(row.group)) {
    row.sa.reset();
    unsent_.insert({Change::Of::kSa, name});
  } else if (row.stored && !applying_) {
    SharedRecord record = RecordOf(sa, row.usage);
    record.clear[1] = static_cast<uint8_t>(SaState::kValid);
    const auto sealed =
        params_.seal.Seal("sa/" + name + "/spec", {.kind = EntryKind::kSa,
                                                   .place = row.seen,
                                                   .era = row.era,
                                                   .clear = std::move(record.clear),
                                                   .secret = std::move(record.secret)});
    row.sa.reset();
    if (sealed) row.waiting = *sealed;
    row.seen = {};
  } else {
    sas_.erase(found);
  }
}

// --- ChangeJournal ---

Status ClusterSas::Prepare(const ControlEvent& change) {
  if (is_passive()) return {};
  if (const auto* added = std::get_if<SaAdded>(&change)) {
    const GroupId group = GroupOfShared(added->sa->spec());
    if (!Owns(group)) return {};
    const std::string name = SharedName(added->sa->id(), params_.secret);
    SaRow& row = sas_[name];
    row.group = group;
    row.sa = added->sa;
    row.era = params_.entries->era();
    Batch batch{.group = group};
    Status sent = AddSa(name, &row, *added->sa, &batch);
    if (sent) sent = Commit(&batch);
    // If another journal refuses it, nobody keeps it, and Settle removes it again.
    prepared_.push_back(name);
    if (sent || IsOfAnother(sent)) return {};
    row.sa.reset();
    return Named(sent);
  }
  if (const auto* policy = std::get_if<PolicyAdded>(&change)) return PreparePolicy(policy->policy);
  if (const auto* policy = std::get_if<PolicyUpdated>(&change)) {
    return PreparePolicy(policy->policy);
  }
  Note(change);
  return {};
}

void ClusterSas::Note(const ControlEvent& change) {
  if (is_passive()) return;
  const auto settle = [this](const PolicySpec& spec) {
    const std::string name = SharedName(IdOf(spec), params_.secret);
    if (policies_.contains(name)) unsent_.insert({Change::Of::kPolicy, name});
  };
  if (const auto* policy = std::get_if<PolicyDeleted>(&change)) settle(policy->policy.spec);
  if (const auto* policy = std::get_if<PolicyExpired>(&change)) settle(policy->policy.spec);
  if (const auto* flush = std::get_if<PolicyFlushed>(&change)) ChangePolicies(flush->type);
  const auto* expired = std::get_if<SaExpired>(&change);
  if (expired == nullptr || !expired->hard) return;
  const auto row = sas_.find(SharedName(expired->sa->id(), params_.secret));
  if (row != sas_.end()) row->second.stored = false;  // its time is over on all nodes
}

Status ClusterSas::PreparePolicy(const PolicyView& policy) {
  const std::string name = SharedName(IdOf(policy.spec), params_.secret);
  const auto known = policies_.find(name);
  const GroupId group = GroupOfShared(policy.spec);
  if (group == 0 && known == policies_.end()) return {};
  unsent_.insert({Change::Of::kPolicy, name});  // it may still be refused
  if (group == 0) return {};
  PolicyRow& row = policies_[name];
  row.group = group;
  row.id = IdOf(policy.spec);
  row.restored = false;
  if (!Owns(group)) return {};
  Batch batch{.group = group};
  Status sent = AddPolicy(name, &row, RecordOf(policy.spec).clear, &batch);
  if (sent) sent = Commit(&batch);
  return sent || IsOfAnother(sent) ? Status{} : Named(sent);
}

void ClusterSas::ChangePolicies(PolicyType type) {
  for (const auto& [name, row] : policies_) {
    if (row.id.type == type) unsent_.insert({Change::Of::kPolicy, name});
  }
}

// --- Events ---

void ClusterSas::Gain(GroupId group, uint64_t epoch) {
  Group& mine = groups_.at(group - 1);
  mine.owned = true;
  mine.epoch = epoch;
  mine.gained_ns = params_.clock->MonotonicNs();
  mine.announced = 0;
  gaining_.emplace_back(group, std::string());
  for (const auto& [name, row] : policies_) {
    if (row.group == group) unsent_.insert({Change::Of::kPolicy, name});
  }
  held_ = false;
}

// In steps: packets wait for their numbers meanwhile.
bool ClusterSas::GainSome() {
  constexpr int kAtOnce = 2000;
  if (gaining_.empty()) return false;
  const auto [group, next] = gaining_.front();
  gaining_.pop_front();
  auto it = sas_.lower_bound(next);
  for (int i = 0; i < kAtOnce && it != sas_.end(); ++i, ++it) {
    if (it->second.group != group || it->second.sa == nullptr || !Owns(group)) continue;
    ApplyUsage(it->second);
    unsent_.insert({Change::Of::kSa, it->first});
  }
  if (it != sas_.end()) gaining_.emplace_front(group, it->first);
  return true;
}

void ClusterSas::Lose(GroupId group, uint64_t epoch) {
  Group& theirs = groups_.at(group - 1);
  theirs.owned = false;
  theirs.epoch = std::max(theirs.epoch, epoch);
}

void ClusterSas::OnEvent(const ClusterEvent& event) {
  if (control_ == nullptr) return;
  const bool of_group = event.group != 0 && event.group <= groups_.size();
  switch (event.kind) {
    case ClusterEvent::Kind::kGained:
      if (of_group) Gain(event.group, event.owner.epoch);
      return;
    case ClusterEvent::Kind::kLost:
    case ClusterEvent::Kind::kOwner:
      if (of_group) Lose(event.group, event.owner.epoch);
      return;
    case ClusterEvent::Kind::kEntry:
      taken_.emplace_back(event.key, event.value);
      return;
    case ClusterEvent::Kind::kEntriesRead:
      taken_.emplace_back();  // behind them
      return;
    case ClusterEvent::Kind::kEntriesUnread:
      all_read_ = false;
      std::erase_if(taken_, [](const auto& entry) { return entry.first.empty(); });
      return;
    case ClusterEvent::Kind::kReady:
    case ClusterEvent::Kind::kNotReady:
    case ClusterEvent::Kind::kStoreAway:
    case ClusterEvent::Kind::kStoreBack:
    case ClusterEvent::Kind::kWentBack:
      return;  // Tick finds what they are about
  }
}

// SAs of the old era stay where they are. Policies belong to the new one.
void ClusterSas::OnWentBack() {
  ForgetPlaces();
  for (GroupId group = 1; group <= groups_.size(); ++group) {
    if (Owns(group)) Gain(group, groups_.at(group - 1).epoch);
  }
}

// --- The loop ---

void ClusterSas::Tick() {
  constexpr int kAtOnce = 256;
  if (control_ == nullptr) return;
  held_ = false;
  const uint64_t era = std::exchange(era_, params_.entries->era());
  if (era != 0 && era_ != era) OnWentBack();
  usage_next_ = std::string();
  int left = kAtOnce;
  std::vector<std::string> again;
  for (const auto& [name, row] : sas_) {
    if (!row.waiting.empty() && left-- > 0) again.push_back(name);
  }
  for (const std::string& name : again) TakeSa(name, std::string(sas_[name].waiting));
  InstallFailed();
}

bool ClusterSas::DoSome() {
  constexpr int kAtOnce = 64;
  constexpr uint64_t kNs = 20'000'000;
  if (control_ == nullptr) return false;
  const uint64_t until = params_.clock->MonotonicNs() + kNs;
  for (int i = 0; i < kAtOnce && !taken_.empty(); ++i) {
    const auto [key, value] = std::move(taken_.front());
    taken_.pop_front();
    Take(key, value);
  }
  if (!taken_.empty()) return true;
  for (const std::string& name : std::exchange(prepared_, {})) {
    const auto row = sas_.find(name);
    const bool is_there = row != sas_.end() && row->second.sa != nullptr &&
                          control_->FindSa(row->second.sa->spec().spi, row->second.sa->spec().daddr,
                                           row->second.sa->spec().family) == row->second.sa;
    if (is_there || row == sas_.end()) continue;
    row->second.sa.reset();
    unsent_.insert({Change::Of::kSa, name});
  }
  if (GainSome()) return true;
  if (held_) return false;
  Status sent = SendSome(until);
  if (sent) sent = SendUsage(until);
  if (sent) sent = SendComplete();
  held_ = !sent;
  const std::string error = sent ? std::string() : sent.error().message;
  if (!error.empty() && error != error_) {
    Log(LogLevel::kWarning, "the cluster's store does not take changes of SAs: " + error);
  }
  error_ = error;
  return !held_ && (!unsent_.empty() || usage_next_.has_value());
}

std::string ClusterSas::WhyBlind() const {
  const auto is_policy = [](const auto& entry) { return entry.first.starts_with(kPolicies); };
  if (!all_read_ || std::any_of(taken_.begin(), taken_.end(), is_policy)) {
    return "the policies of the store are not read yet";
  }
  for (auto it = refused_.lower_bound(kPolicies); it != refused_.end(); ++it) {
    if (!it->first.starts_with(kPolicies)) break;
    if (!HidesNoPolicy(it->second)) return it->first + " is refused: " + it->second;
  }
  if (refused_.size() < kMaxRefusedShown) return {};
  return std::to_string(kMaxRefusedShown) + " entries of the store are refused";
}

SharedReport ClusterSas::Report() const {
  SharedReport report;
  report.unsent = unsent_.size();
  report.error = error_;
  report.refused_count = refused_count_;
  for (const auto& [name, row] : sas_) {
    report.sas += row.stored ? 1 : 0;
    report.waiting += row.waiting.empty() ? 0 : 1;
  }
  for (const auto& [name, row] : policies_) report.policies += row.stored ? 1 : 0;
  for (const auto& [key, why] : refused_) report.refused.push_back({key, why});
  return report;
}

}  // namespace cygnet
