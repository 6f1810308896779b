// ClusterSas: what the owner of a group puts into the store.
#include <algorithm>
#include <utility>

#include "daemon/cluster/cluster_sas.h"
#include "daemon/cluster/cluster_sas_words.h"

namespace cygnet {
namespace {

constexpr std::size_t kBatch = 32;

// A limit that a lead must stay far below: an SA that changes hands must not end early.
uint64_t Cap(uint64_t lead, uint64_t hard_limit) {
  constexpr uint64_t kShare = 64;
  return hard_limit == kUnlimited ? lead : std::min(lead, hard_limit / kShare);
}

// Seconds of traffic. A lead is written again when half of it is used.
uint64_t LeadOf(uint64_t passed, uint64_t elapsed_ns, uint64_t least) {
  constexpr double kSeconds = 8;
  const double seconds = std::max(static_cast<double>(elapsed_ns) / 1e9, 1.0);
  const double lead = static_cast<double>(passed) / seconds * kSeconds;
  return std::max(least, static_cast<uint64_t>(std::min(lead, 1e18)));
}

bool HalfIsUsed(uint64_t now, uint64_t stored, uint64_t lead) { return now + lead / 2 > stored; }

}  // namespace

// --- Making entries ---

Status ClusterSas::Add(const std::string& key, SharedRecord record, uint64_t era, EntryPlace* place,
                       Batch* batch) {
  *place = {.epoch = groups_.at(batch->group - 1).epoch, .serial = ++serial_};
  auto sealed = params_.seal.Seal(key, {.kind = record.kind,
                                        .place = *place,
                                        .era = era,
                                        .clear = std::move(record.clear),
                                        .secret = std::move(record.secret)});
  if (!sealed) return sealed.error();
  batch->pairs.push_back({.key = key, .value = *std::move(sealed)});
  return {};
}

Status ClusterSas::AddSa(const std::string& name, SaRow* row, const Sa& sa, Batch* batch) {
  const LifetimeUsage now = sa.lifetime().usage();
  SharedUsage usage{.usage = now, .last_used = sa.lifetime().last_used()};
  usage.usage.bytes = std::max(now.bytes, row->usage.usage.bytes);
  usage.usage.packets = std::max(now.packets, row->usage.usage.packets);
  EntryPlace place;
  CYGNET_RETURN_IF_ERROR(Add("sa/" + name + "/spec", RecordOf(sa, usage), row->era, &place, batch));
  batch->then.push_back([this, name, row, place] {
    row->stored = true;
    row->by_us = true;
    row->seen = place;
    row->waiting.clear();
    refused_.erase("sa/" + name + "/spec");
  });
  return {};
}

Status ClusterSas::AddUsage(const std::string& name, SaRow* row, Batch* batch) {
  const Lifetime& lifetime = row->sa->lifetime();
  const LifetimeUsage now = lifetime.usage();
  const LifetimeLimits limits = lifetime.limits();
  const uint64_t now_ns = params_.clock->MonotonicNs();
  const uint64_t elapsed = now_ns - row->written_ns;
  LifetimeUsage lead;
  lead.bytes = Cap(LeadOf(now.bytes - std::min(now.bytes, row->written.bytes), elapsed, 1 << 16),
                   limits.hard_bytes);
  lead.packets = Cap(LeadOf(now.packets - std::min(now.packets, row->written.packets), elapsed, 64),
                     limits.hard_packets);
  SharedUsage usage{.usage = now, .last_used = lifetime.last_used()};
  usage.usage.bytes += lead.bytes;
  usage.usage.packets += lead.packets;
  EntryPlace place;
  CYGNET_RETURN_IF_ERROR(Add("sa/" + name + "/life", RecordOf(usage), row->era, &place, batch));
  batch->then.push_back([row, place, usage, lead, now, now_ns] {
    row->usage_seen = place;
    row->usage = usage;
    row->lead = lead;
    row->written = now;
    row->written_ns = now_ns;
  });
  return {};
}

Status ClusterSas::AddPolicy(const std::string& name, PolicyRow* row, std::vector<uint8_t> clear,
                             Batch* batch) {
  EntryPlace place;
  CYGNET_RETURN_IF_ERROR(Add(kPolicies + name, {.kind = EntryKind::kPolicy, .clear = clear},
                             params_.entries->era(), &place, batch));
  batch->then.push_back([this, name, row, place, clear = std::move(clear)] {
    row->stored = true;
    row->by_us = true;
    row->seen = place;
    row->clear = clear;
    refused_.erase(kPolicies + name);
  });
  return {};
}

Status ClusterSas::Commit(Batch* batch) {
  if (batch->pairs.empty()) return {};
  Status sent = params_.entries->PutAll(batch->pairs, batch->group);
  if (sent) {
    for (const auto& step : batch->then) step();
  }
  batch->pairs.clear();
  batch->then.clear();
  return sent;
}

// --- What has changed ---

// What is there now goes to the store; what is gone, leaves it.
Status ClusterSas::SettleSa(const std::string& name, Batch* batch) {
  const auto found = sas_.find(name);
  if (found == sas_.end() || !Owns(found->second.group)) return {};
  SaRow& row = found->second;
  if (row.sa != nullptr) {
    if (row.era == 0) row.era = params_.entries->era();
    const bool is_of_this_era = row.era == params_.entries->era();
    return is_of_this_era ? AddSa(name, &row, *row.sa, batch) : Status{};
  }
  CYGNET_RETURN_IF_ERROR(params_.entries->Delete("sa/" + name + "/spec", row.group));
  CYGNET_RETURN_IF_ERROR(params_.entries->Delete("sa/" + name + "/life", row.group));
  sas_.erase(found);
  return {};
}

Status ClusterSas::SettlePolicy(const std::string& name, Batch* batch) {
  const auto found = policies_.find(name);
  if (found == policies_.end()) return {};
  PolicyRow& row = found->second;
  const auto present = control_->GetPolicy(row.id);
  const bool is_there = present && GroupOfShared(present->spec) == row.group;
  if (Owns(row.group)) {
    if (is_there) {
      auto clear = RecordOf(present->spec).clear;
      const bool is_stored = row.stored && row.by_us && clear == row.clear &&
                             row.seen.epoch == groups_.at(row.group - 1).epoch;
      return is_stored ? Status{} : AddPolicy(name, &row, std::move(clear), batch);
    }
    if (row.failed) return {};  // the group has it, and this node could not install it
    CYGNET_RETURN_IF_ERROR(params_.entries->Delete(kPolicies + name, row.group));
    policies_.erase(found);
    return {};
  }
  if (present) return {};
  if (!row.stored) {
    policies_.erase(found);
    return {};
  }
  // A client of this node removed it, but the group still has it.
  auto spec = PolicyOf(row.clear);
  if (spec) (void)InstallPolicy(&row, *std::move(spec));
  return {};
}

Status ClusterSas::Settle(const Change& change, Batch* batch) {
  return change.of == Change::Of::kSa ? SettleSa(change.name, batch)
                                      : SettlePolicy(change.name, batch);
}

// Some of one group.
std::vector<ClusterSas::Change> ClusterSas::NextChanges() const {
  std::vector<Change> next;
  if (unsent_.empty()) return next;
  const GroupId group = GroupOf(*unsent_.begin());
  for (const Change& change : unsent_) {
    if (next.size() == kBatch || GroupOf(change) != group) break;
    next.push_back(change);
  }
  return next;
}

// A change is done when its batch is stored.
Status ClusterSas::SendSome(uint64_t until_ns) {
  while (!unsent_.empty()) {
    const std::vector<Change> changes = NextChanges();
    Batch batch{.group = GroupOf(changes.front())};
    for (const Change& change : changes) CYGNET_RETURN_IF_ERROR(Settle(change, &batch));
    CYGNET_RETURN_IF_ERROR(Commit(&batch));
    for (const Change& change : changes) unsent_.erase(change);
    if (params_.clock->MonotonicNs() >= until_ns) break;
  }
  return {};
}

GroupId ClusterSas::GroupOf(const Change& change) const {
  if (change.of == Change::Of::kSa) {
    const auto row = sas_.find(change.name);
    return row == sas_.end() ? 0 : row->second.group;
  }
  const auto row = policies_.find(change.name);
  return row == policies_.end() ? 0 : row->second.group;
}

// --- Usage ---

Status ClusterSas::SendUsage(uint64_t until_ns) {
  if (!usage_next_) return {};
  Batch batch;
  const auto send = [&](const std::string& next) -> Status {
    CYGNET_RETURN_IF_ERROR(Commit(&batch));
    usage_next_ = next;
    return {};
  };
  for (auto it = sas_.lower_bound(*usage_next_); it != sas_.end(); ++it) {
    SaRow& row = it->second;
    if (!Owns(row.group) || row.sa == nullptr || !row.stored) continue;
    const LifetimeUsage now = row.sa->lifetime().usage();
    const bool is_first_use = now.use_time != 0 && row.usage.usage.use_time == 0;
    if (now == row.written ||
        (!is_first_use && !HalfIsUsed(now.bytes, row.usage.usage.bytes, row.lead.bytes) &&
         !HalfIsUsed(now.packets, row.usage.usage.packets, row.lead.packets))) {
      continue;
    }
    if (batch.group != row.group || batch.pairs.size() >= kBatch) {
      CYGNET_RETURN_IF_ERROR(send(it->first));
      batch.group = row.group;
      if (params_.clock->MonotonicNs() >= until_ns) return {};
    }
    CYGNET_RETURN_IF_ERROR(AddUsage(it->first, &row, &batch));
  }
  CYGNET_RETURN_IF_ERROR(Commit(&batch));
  usage_next_.reset();
  return {};
}

// --- A new owner has written everything anew ---

bool ClusterSas::HasUnsent(GroupId group) const {
  return !gaining_.empty() ||
         std::any_of(unsent_.begin(), unsent_.end(),
                     [&](const Change& change) { return GroupOf(change) == group; });
}

// From then on, entries of earlier epochs are not the group's.
Status ClusterSas::SendComplete() {
  // Another node may be able to read what this one could not.
  const bool is_blind = std::any_of(refused_.begin(), refused_.end(), [](const auto& pair) {
    return pair.second != kOfEarlierEra && pair.second != kOfEarlierEraHere;
  });
  if (is_blind) return {};
  for (GroupId group = 1; group <= groups_.size(); ++group) {
    CYGNET_RETURN_IF_ERROR(SendComplete(group));
  }
  return {};
}

// A second later, so that the other nodes have seen what the owner before wrote last.
Status ClusterSas::SendComplete(GroupId group) {
  constexpr uint64_t kAfterNs = 1'000'000'000;
  Group& mine = groups_.at(group - 1);
  if (!mine.owned || mine.announced == mine.epoch || HasUnsent(group) ||
      params_.clock->MonotonicNs() < mine.gained_ns + kAfterNs) {
    return {};
  }
  const bool waits = std::any_of(sas_.begin(), sas_.end(), [&](const auto& pair) {
    return !pair.second.waiting.empty() && pair.second.group == group;
  });
  if (waits) return {};
  Batch batch{.group = group};
  EntryPlace place;
  CYGNET_RETURN_IF_ERROR(Add(CompleteKey(params_.groups.Name(group)),
                             {.kind = EntryKind::kSealed, .clear = {}}, params_.entries->era(),
                             &place, &batch));
  CYGNET_RETURN_IF_ERROR(Commit(&batch));
  mine.announced = mine.epoch;
  return {};
}

}  // namespace cygnet
