#include "daemon/cluster/cluster_control.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSameNs = 3000 * kMs;
constexpr uint64_t kReportNs = 100 * kMs;
// A move that was not heard of again, and a group that the store refused although it names this
// node, are tried again after so long.
constexpr uint64_t kRetryNs = 1000 * kMs;
// As after a restart (LostSaSchedule): tunnels are not all replaced at the same time.
constexpr uint64_t kApartNs = 100 * kMs;
constexpr uint64_t kSpreadNs = 10'000 * kMs;

uint64_t Microseconds(uint64_t ns) { return ns / 1000; }

}  // namespace

ClusterControl::ClusterControl(Params params)
    : config_(params.config),
      params_(std::move(params)),
      node_(*params_.node),
      store_(*params_.store),
      numbers_(*params_.numbers),
      groups_(config_.groups.size()) {
  numbers_.OnNotOwner([this](uint32_t group) { OnNotOwner(group); });
}

void ClusterControl::Record(GroupId group, const std::string& event, const std::string& text) {
  const std::string name = group == 0 ? std::string() : NameOf(group);
  const std::string line =
      name.empty() ? "cluster: " + text : fmt::format("cluster: group {}: {}", name, text);
  const bool good = event == "gained" || event == "owner" || event == "given";
  Log(good ? LogLevel::kInfo : LogLevel::kWarning, line);
  if (params_.record) params_.record(name, event, line);
}

// --- Each turn ---

void ClusterControl::Turn(Workers workers) {
  if (workers == Workers::kRun) node_.Alive();
  store_.Probe();
  if (const auto why = store_.TakeWentBack()) {
    OnWentBack(*why);
    went_back_ns_ = params_.clock->MonotonicNs();
  }
  for (const ClusterEvent& event : node_.Take()) {
    Handle(event);
    if (params_.on_event) params_.on_event(event);
  }
  if (params_.why_blind) node_.SetBlind(!params_.why_blind().empty());
  const uint64_t now = params_.clock->MonotonicNs();
  for (GroupId group = 1; group <= groups_.size(); ++group) CheckGroup(group, now);
  ExpireSome(now);
  if (now < reported_ns_ + kReportNs) return;
  reported_ns_ = now;
  numbers_.Report();
}

void ClusterControl::Handle(const ClusterEvent& event) {
  using Kind = ClusterEvent::Kind;
  switch (event.kind) {
    case Kind::kGained:
      return OnGained(event);
    case Kind::kLost:
      return OnLost(event);
    case Kind::kOwner:
      Record(event.group, "owner",
             event.owner.node.empty()
                 ? "nobody owns it now"
                 : fmt::format("{} owns it, epoch {}", event.owner.node, event.owner.epoch));
      return;
    case Kind::kReady:
      return OnReady(event);
    case Kind::kNotReady:
      return OnNotReady(event);
    case Kind::kStoreAway:
    case Kind::kStoreBack:
      return OnStore(event);
    case Kind::kWentBack:
      // The number store has found it, too, and SAs since then are of the next era.
      if (params_.clock->MonotonicNs() < went_back_ns_ + kSameNs) return;
      return OnWentBack(event.text);
    case Kind::kEntry:
    case Kind::kEntriesRead:
    case Kind::kEntriesUnread:
      return;
  }
}

// The numbers come first: packets are on their way already.
void ClusterControl::OnGained(const ClusterEvent& event) {
  Group& group = groups_[event.group - 1];
  group.use = Use::kActive;
  group.refused_ns = 0;
  group.is_offered = false;
  group.epoch = event.owner.epoch;
  ++group.gained;
  group.woken_ns = params_.clock->MonotonicNs();
  group.last = ClusterTakeOverReport{.time = params_.clock->WallSeconds(),
                                     .reason = event.text,
                                     .silence_us = Microseconds(event.silence_ns),
                                     .transaction_us = Microseconds(event.transaction_ns)};
  store_.SetOwned(event.group, event.owner.revision);
  numbers_.Wake(event.group);
  (void)numbers_.DoSome();
  if (params_.on_use) params_.on_use(NameOf(event.group), event.owner.epoch, event.text);
}

void ClusterControl::OnLost(const ClusterEvent& event) {
  numbers_.Mute(event.group);
  store_.SetNotOwned(event.group);
  Group& group = groups_[event.group - 1];
  const Use before = std::exchange(group.use, Use::kStandby);
  group.woken_ns = 0;
  group.refused_ns = 0;
  group.is_offered = false;
  if (before == Use::kStandby) return;
  ++group.lost;
  if (params_.on_end) params_.on_end(NameOf(event.group), group.epoch, event.text);
  const bool given = before == Use::kGiving;
  Record(event.group, given ? "given" : "lost",
         fmt::format("{}: {}; its SAs are mute here, epoch {}", given ? "given away" : "lost",
                     event.text, event.owner.epoch));
}

void ClusterControl::OnStore(const ClusterEvent& event) {
  if (event.kind == ClusterEvent::Kind::kStoreAway) {
    if (away_since_ == 0) away_since_ = params_.clock->WallSeconds();
    Record(0, "store-away",
           "the store does not answer: " + event.text +
               "; SAs use up the numbers that they have, then they stop (out-no-numbers)");
    return;
  }
  away_since_ = 0;
  Record(0, "owner", "the store answers again");
  store_.Probe();
  numbers_.Tick();
}

// Whatever the store gave may be given again. What workers have is stopped at once.
void ClusterControl::OnWentBack(const std::string& why) {
  numbers_.MuteForever();
  const bool known = !std::exchange(went_back_, why).empty();
  if (!known) {
    Record(0, "went-back",
           "the store lost what it had confirmed: " + why +
               "; SAs that exist get no number any more, key management is asked for new ones. "
               "Replace keys that were set up by hand");
  }
  const uint64_t now = params_.clock->MonotonicNs();
  for (GroupId group = 0; group <= groups_.size(); ++group) PlanExpiries(group, now);
}

// The store is right. The node's thread hears of it a moment later.
void ClusterControl::OnNotOwner(GroupId id) {
  if (id == 0 || id > groups_.size()) return;
  store_.SetNotOwned(id);
  Group& group = groups_[id - 1];
  if (group.use != Use::kActive) return;
  group.refused_ns = params_.clock->MonotonicNs();
  Log(LogLevel::kWarning, fmt::format("cluster: group {}: the store gives no numbers, because "
                                      "another node owns it; its SAs are mute",
                                      NameOf(id)));
}

void ClusterControl::CheckGroup(GroupId id, uint64_t now) {
  Group& group = groups_[id - 1];
  if (group.use == Use::kGiving && now >= group.given_ns + kRetryNs) TakeBack(id);
  if (group.use != Use::kActive) return;
  if (group.refused_ns != 0 && now >= group.refused_ns + kRetryNs) TakeBack(id);
  if (group.woken_ns == 0 || group.refused_ns != 0) return;
  const Numbers::GroupCounts counts = numbers_.CountsOf(id);
  if (counts.waiting != 0) return;
  Woken(id, counts.sas, now);
}

void ClusterControl::Woken(GroupId id, uint64_t sas, uint64_t now) {
  Group& group = groups_[id - 1];
  group.last->numbers_us = Microseconds(now - std::exchange(group.woken_ns, 0));
  group.last->sas = sas;
  const auto is_waking = [](const Group& other) { return other.woken_ns != 0; };
  if (params_.resume && std::none_of(groups_.begin(), groups_.end(), is_waking)) params_.resume();
  Record(id, "gained",
         fmt::format("{}; epoch {}, silence {} ms, transaction {} ms, numbers of {} SAs {} ms",
                     group.last->reason, group.epoch, group.last->silence_us / 1000,
                     group.last->transaction_us / 1000, sas, group.last->numbers_us / 1000));
  // The owner before ended without a word: its gap of numbers ends with new SAs.
  if (group.last->silence_us != 0) PlanExpiries(id, now);
}

// The store names this node, whatever happened in between.
void ClusterControl::TakeBack(GroupId id) {
  Group& group = groups_[id - 1];
  const std::vector<GroupOwner> owners = node_.owners();
  group.given_ns = group.refused_ns = params_.clock->MonotonicNs();
  if (owners[id - 1].node != config_.node || owners[id - 1].revision == 0) return;
  group.use = Use::kActive;
  group.refused_ns = 0;
  store_.SetOwned(id, owners[id - 1].revision);
  numbers_.Wake(id);
}

// --- New SAs ---

// The SAs of a tunnel go together.
void ClusterControl::PlanExpiries(GroupId group, uint64_t now) {
  using Tunnel = std::tuple<IpAddress, IpAddress, uint32_t>;
  std::map<Tunnel, std::vector<SaPtr>> tunnels;
  for (auto& sa : numbers_.SasOf(group)) {
    const auto [low, high] = std::minmax(sa->spec().saddr, sa->spec().daddr);
    tunnels[{low, high, sa->spec().reqid.value}].push_back(std::move(sa));
  }
  if (tunnels.empty()) return;
  const uint64_t apart = std::min(kApartNs, kSpreadNs / tunnels.size());
  uint64_t at = now;
  for (const auto& [tunnel, sas] : tunnels) {
    for (const auto& sa : sas) expiries_.push_back({.at_ns = at, .sa = sa->number});
    at += apart;
  }
}

void ClusterControl::ExpireSome(uint64_t now) {
  std::vector<SaPtr> due;
  std::erase_if(expiries_, [&](const Expiry& expiry) {
    if (now < expiry.at_ns) return false;
    if (auto sa = numbers_.FindSa(expiry.sa)) due.push_back(std::move(sa));
    return true;
  });
  for (const auto& sa : due) {
    if (sa->usable() && params_.expire) params_.expire(*sa);
  }
}

// --- Reports ---

ClusterGroupReport ClusterControl::ReportOf(GroupId id, const GroupOwner& owner) const {
  const Group& group = groups_[id - 1];
  const ClusterGroupConfig& config = config_.groups[id - 1];
  const Numbers::GroupCounts counts = numbers_.CountsOf(id);
  ClusterGroupReport report{.name = config.name,
                            .addresses = config.addresses,
                            .prefer = config.prefer,
                            .state = "standby",
                            .owner = owner.node,
                            .epoch = owner.epoch,
                            .since = owner.since_unix_ns / 1'000'000'000,
                            .sas = counts.sas,
                            .waiting = counts.waiting,
                            .gained = group.gained,
                            .lost = group.lost,
                            .last = group.last};
  if (group.use == Use::kGiving || group.is_offered) {
    report.state = "moving";
  } else if (group.use == Use::kActive) {
    report.state = group.refused_ns != 0 ? "refused" : counts.waiting != 0 ? "waking" : "active";
  } else if (owner.node.empty()) {
    report.state = "nobody";
  }
  return report;
}

ClusterReport ClusterControl::Report() const {
  ClusterReport report{
      .name = config_.name,
      .node = config_.node,
      .share = config_.share == ClusterShare::kSas ? "sas" : "numbers",
      .inbound = config_.inbound == ClusterInbound::kStrict ? "strict" : "checkpoint",
      .store_away = store_.is_away(),
      .store_fault = store_.fault(),
      .store_away_since = away_since_,
      .has_lease = node_.has_lease(),
      .era = store_.era(),
      .went_back = went_back_,
      .refused_entries = params_.refused_entries ? params_.refused_entries() : 0};
  for (const ClusterNode::Peer& peer : node_.peers()) {
    report.peers.push_back({.name = peer.name,
                            .address = peer.address,
                            .heard = peer.heard,
                            .silent_ms = peer.silent_ns / kMs});
  }
  const std::vector<GroupOwner> owners = node_.owners();
  for (GroupId id = 1; id <= groups_.size(); ++id) {
    report.groups.push_back(ReportOf(id, owners[id - 1]));
  }
  return report;
}

std::vector<DoctorRow> ClusterControl::Doctor() const {
  const ClusterReport report = Report();
  std::vector<DoctorRow> rows;
  const auto add = [&rows](const char* check, bool ok, std::string text, std::string advice) {
    rows.push_back({.check = check,
                    .ok = ok,
                    .text = std::move(text),
                    .advice = ok ? std::string() : std::move(advice)});
  };
  add("cluster-store", !report.store_away && report.store_fault.empty(),
      report.store_away || !report.store_fault.empty()
          ? "the store of cluster " + report.name + " gives nothing: " + report.store_fault
          : "the store of cluster " + report.name + " answers",
      "start etcd, or mend the way to it: SAs stop when their numbers are used up");
  add("cluster-lease", report.has_lease,
      report.has_lease ? "this node has its lease" : "this node has no lease in the store",
      "compare endpoints, certificates and etcd's roles: without a lease it owns no group");
  const bool heard = std::any_of(report.peers.begin(), report.peers.end(),
                                 [](const ClusterPeerReport& peer) { return peer.heard; });
  add("cluster-peers", heard,
      heard ? "heartbeats of other nodes arrive" : "no heartbeat of another node arrives",
      "start cygnetd on the other node, and let UDP pass between the addresses of "
      "cluster.heartbeat");
  const std::string blind = params_.why_blind ? params_.why_blind() : std::string();
  add("cluster-policies", blind.empty(),
      blind.empty() ? "this node knows all policies of its groups"
                    : "this node takes no group: " + blind,
      "give it the same groups and wrapping keys as the others, and room for its files; an entry "
      "that nobody can read is to be removed from the store (etcdctl del)");
  add("cluster-era", report.went_back.empty(),
      report.went_back.empty() ? "the store has all that it confirmed"
                               : "the store lost what it had confirmed: " + report.went_back,
      "replace keys that were set up by hand before; SAs of key management replace themselves");
  return rows;
}

}  // namespace cygnet
