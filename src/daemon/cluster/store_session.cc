#include "daemon/cluster/store_session.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr const char* kTxnPath = "/v3/kv/txn";

// nullopt: it is not a decimal number above 0.
std::optional<uint64_t> EraOf(const EtcdEntry& entry) {
  uint64_t era = 0;
  const char* const end = entry.value.data() + entry.value.size();
  const auto [stop, error] = std::from_chars(entry.value.data(), end, era);
  if (error != std::errc() || stop != end || era == 0) return std::nullopt;
  return era;
}

// For the operator.
std::string WhyAway(const Error& error) {
  switch (error.code) {
    case Errc::kAccess:
      return "the cluster's store refuses this node: " + error.message +
             "; give it read and write access to the keys of the cluster";
    case Errc::kNoSpace:
      return "the cluster's store has no room left: " + error.message +
             "; compact and defragment etcd, then disarm its alarm";
    default:
      return "the cluster's store does not answer: " + error.message;
  }
}

std::string Hex(uint64_t value) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
  return std::string(digits.data(), end);
}

}  // namespace

StoreSession::StoreSession(Params params, ClusterAnchor anchor, const Clock* clock)
    : params_(std::move(params)),
      clock_(*clock),
      era_key_(params_.prefix + "era"),
      own_key_(params_.prefix + "anchor/" + params_.node),
      client_(params_.etcd),
      anchor_(std::move(anchor)),
      seen_(anchor_.state().value_or(AnchorState())),
      era_(seen_.era) {}

std::string StoreSession::OwnerKey(GroupId group) const {
  return params_.prefix + "group/" + groups_[group - 1] + "/owner";
}

Error StoreSession::NotOwned(GroupId group) const {
  return MakeError(Errc::kPermission, "this node does not own the group " + groups_[group - 1]);
}

// --- Whether the store answers ---

std::string StoreSession::fault() const {
  if (!away_.empty()) return away_;
  if (!refusal_.empty()) return "the cluster's store is not usable: " + refusal_;
  if (!disk_fault_.empty()) return "cluster.state_file cannot be written: " + disk_fault_;
  return {};
}

Status StoreSession::Ready() const {
  const std::string why = fault();
  if (!why.empty()) return MakeError(Errc::kNetworkDown, why);
  if (!has_met_) return MakeError(Errc::kNetworkDown, "the cluster's store was not reached yet");
  return {};
}

void StoreSession::GoAway(const Error& error) {
  const std::string why = WhyAway(error);
  if (away_.empty()) Log(LogLevel::kError, "cluster: " + why);
  away_ = why;
  probe_at_ns_ = clock_.MonotonicNs() + uint64_t{params_.probe_each_ms} * 1'000'000;
}

void StoreSession::ComeBack() {
  if (!away_.empty()) Log(LogLevel::kInfo, "cluster: the store answers again");
  away_.clear();
}

Status StoreSession::Confirm() {
  const Status written = anchor_.state() == seen_ ? Status() : anchor_.Write(seen_);
  disk_fault_ = written ? std::string() : written.error().message;
  return written;
}

// --- Probes ---

void StoreSession::Meet() {
  Settle();
  StartProbe();
  Settle();
}

void StoreSession::Probe() {
  if (const auto body = client_.Poll()) return EndProbe(*body);
  if (!client_.busy() && clock_.MonotonicNs() >= probe_at_ns_) StartProbe();
}

// Before a call: at most one request is under way.
void StoreSession::Settle() {
  while (client_.busy()) {
    constexpr int kTurnMs = 10;
    if (const auto body = client_.Poll(kTurnMs)) return EndProbe(*body);
    client_.CallWhileWaiting();
  }
}

// Once the store is known, a probe is a change without anything but the guards.
void StoreSession::StartProbe() {
  probe_at_ns_ = clock_.MonotonicNs() + uint64_t{params_.probe_each_ms} * 1'000'000;
  const EtcdTxn meeting{.then = {EtcdGet(era_key_), EtcdGet(own_key_)}};
  const uint32_t timeout = has_met_ ? params_.probe_timeout_ms : params_.timeout_ms;
  client_.Start(kTxnPath, EtcdTxnBody(has_met_ ? WithGuards({}) : meeting), timeout);
}

void StoreSession::EndProbe(const Result<std::string>& body) {
  const auto answer = body ? ParseEtcdTxn(*body) : Result<EtcdTxnAnswer>(body.error());
  if (!answer) return GoAway(answer.error());
  ComeBack();
  if (has_met_) {
    (void)Read(*answer, {});
  } else {
    has_met_ = Learn(answer->header, GuardsOf(*answer, {})) && LeaveMark();
  }
  if (has_met_ && is_away() == false) (void)Confirm();
}

// A store that is wiped after this has no mark. Without one, a new store may have the same cluster
// ID and, by chance, the same revision of the era.
Status StoreSession::LeaveMark() {
  if (seen_.own_revision != 0) return {};
  const auto answer = Ask(WithGuards({}));
  if (!answer) return answer.error();
  if (!answer->succeeded || answer->header.cluster_id != seen_.cluster_id) {
    probe_at_ns_ = 0;
    return MakeError(Errc::kAgain, "the store changed while this node met it");
  }
  seen_.revision = seen_.own_revision = answer->header.revision;
  return {};
}

// --- Changes ---

// The era by its text, too: a new store may have another one at the same revision.
EtcdTxn StoreSession::WithGuards(const StoreChange& change) const {
  EtcdTxn txn{.compares = {{era_key_, era_revision_},
                           {.key = era_key_, .value = era_text_},
                           {own_key_, seen_.own_revision}},
              .then = {EtcdPut(own_key_, Hex(params_.incarnation))},
              .otherwise = {EtcdGet(era_key_), EtcdGet(own_key_)}};
  for (const GroupId group : change.groups) {
    txn.compares.push_back({OwnerKey(group), owned_.at(group)});
    txn.otherwise.push_back(EtcdGet(OwnerKey(group)));
  }
  txn.compares.insert(txn.compares.end(), change.compares.begin(), change.compares.end());
  txn.then.insert(txn.then.end(), change.then.begin(), change.then.end());
  txn.otherwise.insert(txn.otherwise.end(), change.otherwise.begin(), change.otherwise.end());
  return txn;
}

StoreSession::Guards StoreSession::GuardsOf(const EtcdTxnAnswer& answer,
                                            const std::set<GroupId>& groups) const {
  Guards guards{.era = answer.FoundOne(0), .own = answer.FoundOne(1), .owners = {}};
  std::size_t step = 2;
  for (const GroupId group : groups) {
    guards.owners[group] = answer.FoundOne(step++).mod_revision;
  }
  return guards;
}

Result<EtcdTxnAnswer> StoreSession::Ask(const EtcdTxn& txn) {
  const auto body = client_.Call(kTxnPath, EtcdTxnBody(txn), params_.timeout_ms);
  if (!body) {
    // A request that etcd refuses says nothing about others.
    if (body.error().code != Errc::kInvalid) GoAway(body.error());
    return body.error();
  }
  auto answer = ParseEtcdTxn(*body);
  if (!answer) GoAway(answer.error());
  return answer;
}

Result<StoreOutcome> StoreSession::Run(const StoreChange& change) {
  Settle();
  CYGNET_RETURN_IF_ERROR(Ready());
  for (const GroupId group : change.groups) {
    if (!Owns(group)) return NotOwned(group);
  }
  const auto answer = Ask(WithGuards(change));
  if (!answer) return answer.error();
  return Read(*answer, change);
}

// A change that a store did which is not the one of before does not count.
Result<StoreOutcome> StoreSession::Read(const EtcdTxnAnswer& answer, const StoreChange& change) {
  const EtcdHeader& header = answer.header;
  if (answer.succeeded) {
    const std::string why = WhyItWentBack(seen_, {header.cluster_id, header.revision, {}});
    seen_.own_revision = header.revision;
    if (!why.empty()) {
      has_met_ = false;
      Meet();
      return MakeError(Errc::kAgain, "the store went back: " + why);
    }
    seen_.revision = header.revision;
    StoreOutcome outcome{.is_done = true, .revision = header.revision, .found = answer.found};
    outcome.found.resize(change.then.size() + 1);  // a part that is not there found nothing
    outcome.found.erase(outcome.found.begin());    // of this node's mark
    return outcome;
  }
  const std::size_t guards = 2 + change.groups.size();
  if (answer.found.size() != guards + change.otherwise.size()) {
    const Error error = MakeError(Errc::kNetworkDown, "the store's answer has too few parts");
    GoAway(error);
    return error;
  }
  const Guards now = GuardsOf(answer, change.groups);
  CYGNET_RETURN_IF_ERROR(Learn(header, now));
  for (const auto& [group, revision] : now.owners) {
    if (revision == owned_.at(group)) continue;
    owned_.erase(group);
    Log(LogLevel::kWarning, "cluster: another node owns the group " + groups_[group - 1] + " now");
    return NotOwned(group);
  }
  StoreOutcome outcome{.is_done = false, .revision = header.revision, .found = {}};
  outcome.found.assign(answer.found.begin() + static_cast<std::ptrdiff_t>(guards),
                       answer.found.end());
  return outcome;
}

// --- Whether it is the store of before ---

// What the guards are now. On an error nothing may be changed.
Status StoreSession::Learn(const EtcdHeader& header, const Guards& guards) {
  const bool is_known = seen_.cluster_id != 0;
  const std::string why =
      is_known ? WhyItWentBack(seen_, {header.cluster_id, header.revision, guards.own.mod_revision})
               : std::string();
  const bool has_era = guards.era.mod_revision != 0;
  const uint64_t era = EraOf(guards.era).value_or(0);
  if (has_era && era == 0) {
    refusal_ = era_key_ + " is not a number; restore it, or remove all keys of the cluster";
    return MakeError(Errc::kInvalid, refusal_);
  }
  refusal_.clear();
  if (!why.empty()) return RaiseEra(why, header, guards);
  if (!has_era && !is_known) return SetEra(1, header, guards);
  if (era < era_) return RaiseEra("it lost the era " + std::to_string(era_), header, guards);
  seen_.cluster_id = header.cluster_id;
  seen_.revision = header.revision;
  seen_.own_revision = guards.own.mod_revision;
  return TakeEra(guards.era, "another node, or the operator, raised its era");
}

Status StoreSession::TakeEra(const EtcdEntry& entry, const std::string& why) {
  const uint64_t era = *EraOf(entry);
  if (era_ != 0 && era != era_) {
    Log(LogLevel::kError, "cluster: the store went back: " + why + "; era " + std::to_string(era));
    went_back_ = why;
  }
  era_ = seen_.era = era;
  era_revision_ = entry.mod_revision;
  era_text_ = entry.value;
  return {};
}

// If the era is above this node's, another node has raised it for the same reason.
Status StoreSession::RaiseEra(const std::string& why, const EtcdHeader& header,
                              const Guards& guards) {
  const uint64_t now = EraOf(guards.era).value_or(0);
  if (now <= era_) {
    CYGNET_RETURN_IF_ERROR(SetEra(era_ + 1, header, guards));
    Log(LogLevel::kError, "cluster: the store went back: " + why + "; SAs need new keys (era " +
                              std::to_string(era_) + ")");
    went_back_ = why;
    return Confirm();
  }
  seen_ = {.cluster_id = header.cluster_id,
           .era = now,
           .revision = header.revision,
           .own_revision = guards.own.mod_revision};
  CYGNET_RETURN_IF_ERROR(TakeEra(guards.era, why));
  return Confirm();
}

Status StoreSession::SetEra(uint64_t era, const EtcdHeader& header, const Guards& guards) {
  const EtcdTxn txn{
      .compares = {{era_key_, guards.era.mod_revision}, {own_key_, guards.own.mod_revision}},
      .then = {EtcdPut(era_key_, std::to_string(era)), EtcdPut(own_key_, Hex(params_.incarnation))},
      .otherwise = {}};
  const auto answer = Ask(txn);
  if (!answer) return answer.error();
  if (!answer->succeeded || answer->header.cluster_id != header.cluster_id) {
    has_met_ = false;
    probe_at_ns_ = 0;
    return MakeError(Errc::kAgain, "another node changed the era of the store at the same time");
  }
  era_ = era;
  era_revision_ = answer->header.revision;
  era_text_ = std::to_string(era);
  seen_ = {.cluster_id = header.cluster_id,
           .era = era,
           .revision = answer->header.revision,
           .own_revision = answer->header.revision};
  return {};
}

}  // namespace cygnet
