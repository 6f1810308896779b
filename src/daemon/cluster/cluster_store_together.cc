// ClusterStore: the steps of Together as transactions.
#include <algorithm>
#include <charconv>
#include <set>

#include "daemon/cluster/cluster_store.h"

namespace cygnet {
namespace {

constexpr int kTries = 4;
// With the guards.
constexpr std::size_t kRowsPerTxn = kEtcdMaxTxnOps - StoreSession::kMaxGuards;

std::optional<uint64_t> Decimal(const std::string& text) {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

}  // namespace

Status ClusterStore::Together(const std::function<Status()>& steps) {
  if (depth_ != 0) return steps();
  ++depth_;
  Status status = Retry(steps);
  --depth_;
  Untouch();
  return status;
}

void ClusterStore::Untouch() {
  for (Row* const row : touched_) {
    row->is_touched = false;
    row->wanted.reset();
  }
  touched_.clear();
}

Status ClusterStore::Retry(const std::function<Status()>& steps) {
  for (int tries = 0; tries < kTries; ++tries) {
    Untouch();
    CYGNET_RETURN_IF_ERROR(steps());
    if (touched_.empty()) return {};
    if (touched_.size() > kRowsPerTxn) {
      const auto all_known = FetchUnknown();
      if (!all_known) return all_known.error();
      if (!*all_known) continue;
    }
    const auto is_done = Commit();
    if (!is_done) return is_done.error();
    if (!*is_done) continue;
    // Nothing counts before this.
    CYGNET_RETURN_IF_ERROR(session_.Confirm());
    for (Row* const row : touched_) row->unclaimed.reset();
    return {};
  }
  return MakeError(Errc::kAgain, "other nodes change the same numbers at the same time");
}

// False: a row was not as it was last seen. It is known now.
Result<bool> ClusterStore::Commit() {
  bool all_done = true;
  std::size_t first = 0;
  while (first < touched_.size()) {
    std::set<GroupId> groups;
    std::size_t end = first;
    for (; end < touched_.size() && end - first < kRowsPerTxn; ++end) {
      if (touched_[end]->group != 0) groups.insert(touched_[end]->group);
      if (groups.size() > StoreSession::kMaxGroups) break;
    }
    const auto is_done = CommitSome(first, end);
    if (!is_done) return is_done.error();
    all_done = all_done && *is_done;
    first = end;
  }
  return all_done;
}

Result<bool> ClusterStore::CommitSome(std::size_t first, std::size_t end) {
  StoreChange change;
  for (std::size_t i = first; i < end; ++i) {
    const Row& row = *touched_[i];
    if (row.group != 0) change.groups.insert(row.group);
    change.compares.push_back({row.key, row.revision});
    if (row.wanted.has_value())
      change.then.push_back(EtcdPut(row.key, std::to_string(*row.wanted)));
    change.otherwise.push_back(EtcdGet(row.key));
  }
  const auto outcome = session_.Run(change);
  for (std::size_t i = first; i < end; ++i) {
    Row* const row = touched_[i];
    if (!outcome) {
      row->is_known = false;  // it may have taken effect
    } else if (!outcome->is_done) {
      Reread(row, outcome->found[i - first]);
    } else if (row->wanted.has_value()) {
      const bool is_raised = *row->wanted > row->value;
      if (!is_raised) row->unclaimed.reset();
      if (is_raised && !row->unclaimed.has_value()) row->unclaimed = row->value;
      row->revision = outcome->revision;
      row->value = *row->wanted;
      row->is_known = true;
    }
  }
  if (!outcome) return outcome.error();
  return outcome->is_done;
}

// Before several transactions: rows that were never seen would fail one after the other.
Result<bool> ClusterStore::FetchUnknown() {
  std::vector<Row*> unknown;
  for (Row* const row : touched_) {
    if (!row->is_known) unknown.push_back(row);
  }
  for (std::size_t first = 0; first < unknown.size(); first += kRowsPerTxn) {
    const std::size_t end = std::min(first + kRowsPerTxn, unknown.size());
    StoreChange look;
    for (std::size_t i = first; i < end; ++i) look.then.push_back(EtcdGet(unknown[i]->key));
    look.otherwise = look.then;
    const auto outcome = session_.Run(look);
    if (!outcome) return outcome.error();
    for (std::size_t i = first; i < end; ++i) Reread(unknown[i], outcome->found[i - first]);
  }
  return unknown.empty();
}

// A mark that this node raised, and that no caller got, is still its own if nobody changed it.
void ClusterStore::Reread(Row* row, const std::vector<EtcdEntry>& found) {
  const EtcdEntry now = found.empty() ? EtcdEntry() : found.front();
  if (now.mod_revision != row->revision) row->unclaimed.reset();
  row->is_known = true;
  row->revision = now.mod_revision;
  // What is not a number gives none: as if all were used.
  row->value = now.mod_revision == 0 ? 0 : Decimal(now.value).value_or(~uint64_t{0});
}

}  // namespace cygnet
