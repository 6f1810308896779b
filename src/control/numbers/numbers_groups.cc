// Groups: SAs that several nodes hold and one of them uses.
#include <algorithm>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "control/numbers/numbers.h"

namespace cygnet {
namespace {

// SAs in one step of the store: it answers in a moment, and a step that fails costs few numbers.
constexpr std::size_t kTogether = 100;
constexpr uint64_t kTurnNs = 40'000'000;

}  // namespace

bool Numbers::IsMute(uint32_t group) const {
  if (group == 0) return false;
  const auto it = groups_.find(group);
  return it == groups_.end() || it->second.mute;
}

bool Numbers::IsMute(const Row& row) const { return row.is_stale || IsMute(GroupOf(row)); }

// Workers accept what they like. The store has the highest number, some time later.
bool Numbers::Reports(const Row& row) const {
  return sizes_.group_marks == GroupMarks::kReported && GroupOf(row) != 0 && KeepsInbound(row);
}

// --- Mute ---

void Numbers::StopWorkers(Row* row) const {
  if (row->sa->outbound() != nullptr) row->used = row->sa->outbound()->sequence.Pause();
  if (KeepsInbound(*row)) row->top = row->sa->inbound()->replay.SetMark(0, ~uint64_t{0});
}

void Numbers::Mute(uint32_t group) {
  Group& state = groups_[group];
  if (std::exchange(state.mute, true)) return;
  state.waiting.clear();
  for (auto& [number, row] : rows_) {
    if (GroupOf(row) != group) continue;
    // Who has no numbers since the last time has nothing to stop, and what it had is known.
    if (!std::exchange(row.is_behind, false)) StopWorkers(&row);
    row.is_wanted = false;
  }
}

void Numbers::MuteForever() {
  for (auto& [number, row] : rows_) {
    if (!row.identity.has_value() || std::exchange(row.is_stale, true)) continue;
    if (!IsMute(GroupOf(row)) && !row.is_behind) StopWorkers(&row);
  }
}

void Numbers::NotOwner(uint32_t group) {
  if (IsMute(group)) return;
  Mute(group);
  if (not_owner_) not_owner_(group);
}

// A store that works, and that does not give this node the numbers of a group, has no fault.
void Numbers::Failed(uint32_t group, const Status& status) {
  if (group == 0 || status.error().code != Errc::kPermission) return Note(status);
  NotOwner(group);
}

// Exact: nobody uses the SAs any more.
Status Numbers::ReturnRows(std::span<Row* const> rows) {
  const Status done = store_->Together([&]() -> Status {
    for (const Row* row : rows) {
      if (row->sa->outbound() != nullptr && row->used < row->block.last) {
        CYGNET_RETURN_IF_ERROR(
            store_->ReturnOutbound(row->identity->outbound, row->used, row->block.last));
      }
      if (!KeepsInbound(*row) || row->top == row->mark) continue;
      if (row->top < row->mark) {
        CYGNET_RETURN_IF_ERROR(store_->LowerInbound(row->identity->inbound, row->top, row->mark));
      } else if (const auto told = store_->Inbound(row->identity->inbound, row->mark, row->top);
                 !told) {
        return told.error();
      }
    }
    return {};
  });
  if (!done) return done;
  for (Row* const row : rows) {
    row->block.last = std::min(row->block.last, row->used);
    row->mark = row->top;
  }
  return {};
}

Status Numbers::ReturnUnused(uint32_t group, const std::function<void()>& between) {
  std::vector<Row*> rows = RowsOf(group);
  std::erase_if(rows, [](const Row* row) { return row->is_stale; });
  for (std::span<Row* const> left(rows); !left.empty();) {
    const auto some = left.first(std::min(left.size(), kTogether));
    CYGNET_RETURN_IF_ERROR(ReturnRows(some));
    left = left.subspan(some.size());
    if (between) between();
  }
  return {};
}

// --- Wake ---

void Numbers::Wake(uint32_t group) {
  Group& state = groups_[group];
  if (!std::exchange(state.mute, false)) return;
  std::vector<Row*> rows = RowsOf(group);
  std::erase_if(rows, [](const Row* row) { return row->is_stale; });
  const auto urgency = [](const Row* row) {
    return std::tuple(row->is_wanted, row->sa->lifetime().last_used());
  };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const Row* a, const Row* b) { return urgency(a) > urgency(b); });
  for (Row* const row : rows) {
    row->is_behind = true;
    state.waiting.push_back(row->sa->number);
  }
}

// A worker misses its numbers.
void Numbers::MakeUrgent(Row* row) {
  row->is_wanted = true;
  if (!row->is_behind || row->is_stale) return;
  groups_[GroupOf(*row)].waiting.push_front(row->sa->number);
}

std::vector<Numbers::Grant> Numbers::NextBehind(Group* state) {
  std::vector<Grant> grants;
  while (!state->waiting.empty() && grants.size() < kTogether) {
    const auto it = rows_.find(state->waiting.front());
    state->waiting.pop_front();
    if (it == rows_.end() || !std::exchange(it->second.is_behind, false)) continue;
    grants.push_back({.row = &it->second});
  }
  return grants;
}

Status Numbers::AskFirst(std::vector<Grant>* grants, uint64_t step) {
  const auto steps = [this, grants, step]() -> Status {
    for (Grant& grant : *grants) {
      Row& row = *(grant = Grant{.row = grant.row}).row;
      if (row.sa->outbound() != nullptr) {
        const uint64_t before = row.block.empty() ? 0 : row.block.last - row.block.first + 1;
        CYGNET_RETURN_IF_ERROR(
            AskOutbound(&grant, std::clamp(before, sizes_.smallest_block, sizes_.largest_block)));
      }
      if (!HasWindow(row) || row.gets_mark) continue;
      if (!store_->reserves_inbound()) {
        CYGNET_RETURN_IF_ERROR(AskWhatWasAccepted(&grant));
        continue;
      }
      CYGNET_RETURN_IF_ERROR(
          AskInbound(&grant, row.sa->inbound()->replay.safe_edge(), Reports(row) ? 0 : step));
    }
    return {};
  };
  return store_ != nullptr ? store_->Together(steps) : steps();
}

// False: the store gives nothing now, or there is nothing to do.
bool Numbers::WakeSome(uint32_t group, Group* state) {
  std::vector<Grant> grants = NextBehind(state);
  if (grants.empty()) return false;
  const Status asked = AskFirst(&grants, sizes_.smallest_step);
  if (asked) {
    Note(asked);
    for (const Grant& grant : grants) Apply(grant);
    return !state->waiting.empty();
  }
  for (auto it = grants.rbegin(); it != grants.rend(); ++it) {
    it->row->is_behind = true;
    state->waiting.push_front(it->row->sa->number);
  }
  Failed(group, asked);
  return false;
}

bool Numbers::WakeSome() {
  const uint64_t until = clock_.MonotonicNs() + kTurnNs;
  bool more = false;
  for (auto& [group, state] : groups_) {
    bool left = WakeSome(group, &state);
    while (left && clock_.MonotonicNs() < until) left = WakeSome(group, &state);
    more = more || left;
  }
  return more;
}

// --- Numbers of groups, later ---

void Numbers::TakeDue(uint32_t group, std::vector<Grant> grants) {
  const std::size_t most = group == 0 ? grants.size() : kTogether;
  while (!grants.empty()) {
    const std::size_t count = std::min(most, grants.size());
    std::vector<Grant> some(grants.end() - static_cast<std::ptrdiff_t>(count), grants.end());
    grants.resize(grants.size() - count);
    const Status asked = Ask(&some);
    if (!asked) return Failed(group, asked);  // Tick asks again
    Note(asked);
    for (const Grant& grant : some) Apply(grant);
  }
}

void Numbers::Report() {
  if (sizes_.group_marks != GroupMarks::kReported) return;
  std::vector<Row*> rows;  // of one group after the other: each has an owner of its own
  for (auto& [number, row] : rows_) {
    if (!Reports(row) || IsMute(row) || row.is_behind) continue;
    row.top = row.sa->inbound()->replay.wanted();
    if (row.top > row.mark) rows.push_back(&row);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row* a, const Row* b) { return GroupOf(*a) < GroupOf(*b); });
  for (std::span<Row* const> left(rows); !left.empty();) {
    std::size_t count = 0;
    while (count < std::min(left.size(), kTogether) && GroupOf(*left[count]) == GroupOf(*left[0])) {
      ++count;
    }
    const auto some = left.first(count);
    left = left.subspan(count);
    const Status told = store_->Together([&]() -> Status {
      for (const Row* row : some) {
        const auto mark = store_->Inbound(row->identity->inbound, row->mark, row->top);
        if (!mark) return mark.error();
      }
      return {};
    });
    if (!told) return Failed(GroupOf(*some.front()), told);
    Note(told);
    for (Row* const row : some) row->mark = row->top;
  }
}

// --- Reports ---

std::vector<Numbers::Row*> Numbers::RowsOf(uint32_t group) {
  std::vector<Row*> rows;
  for (auto& [number, row] : rows_) {
    if (GroupOf(row) == group) rows.push_back(&row);
  }
  return rows;
}

Numbers::GroupCounts Numbers::CountsOf(uint32_t group) const {
  GroupCounts counts{.mute = IsMute(group)};
  for (const auto& [number, row] : rows_) {
    if (GroupOf(row) != group) continue;
    ++counts.sas;
    counts.waiting += row.is_behind ? 1 : 0;
  }
  return counts;
}

uint32_t Numbers::GroupOf(const Sa& sa) const {
  const auto it = rows_.find(sa.number);
  return it == rows_.end() ? 0 : GroupOf(it->second);
}

std::vector<SaPtr> Numbers::SasOf(uint32_t group) const {
  std::vector<SaPtr> sas;
  for (const auto& [number, row] : rows_) {
    if (GroupOf(row) == group) sas.push_back(row.sa);
  }
  return sas;
}

SaPtr Numbers::FindSa(uint64_t number) const {
  const auto row = rows_.find(number);
  return row != rows_.end() ? row->second.sa : nullptr;
}

}  // namespace cygnet
