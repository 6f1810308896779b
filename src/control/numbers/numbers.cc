#include "control/numbers/numbers.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
uint64_t AtMost(uint64_t value, uint64_t add, uint64_t limit) {
  return add > limit || value > limit - add ? limit : value + add;
}

uint64_t LimitOf(const Sa& sa) { return sa.spec().esn() ? ~uint64_t{0} : uint64_t{0xffffffff}; }

// How many there are in `window_ns` if `count` came in `took_ns`.
uint64_t AtThisRate(uint64_t count, uint64_t took_ns, uint64_t window_ns) {
  const double rate =
      static_cast<double>(count) / static_cast<double>(std::max(took_ns, uint64_t{1}));
  return static_cast<uint64_t>(std::min(rate * static_cast<double>(window_ns), 1e12));
}

}  // namespace

Numbers::Row* Numbers::Find(const Sa& sa) {
  const auto it = rows_.find(sa.number);
  return it == rows_.end() ? nullptr : &it->second;
}

// A window of 0 accepts everything: there is nothing to keep.
bool Numbers::HasWindow(const Row& row) {
  return row.identity.has_value() && row.sa->inbound() != nullptr &&
         row.sa->inbound()->replay.window() != 0;
}

bool Numbers::KeepsInbound(const Row& row) const {
  return HasWindow(row) && store_->reserves_inbound();
}

// The same destination, SPI and keys.
bool Numbers::ShareInbound(const Row& a, const Row& b) const {
  return KeepsInbound(a) && KeepsInbound(b) && a.identity->inbound == b.identity->inbound;
}

// --- How many ---

bool Numbers::NeedsOutbound(const Row& row) const {
  if (row.sa->outbound() == nullptr) return false;
  const SequenceCounter& sequence = row.sa->outbound()->sequence;
  if (sequence.exhausted()) return false;
  const uint64_t size = row.block.last - row.block.first + 1;
  return AtMost(sequence.last_sent(), size / 2, ~uint64_t{0}) >= sequence.edge();
}

bool Numbers::NeedsInbound(const Row& row) const {
  return KeepsInbound(row) && !Reports(row) && row.sa->inbound()->replay.wanted() >= row.ask_at;
}

// A block that was used up before the next one came is followed by a larger one.
uint64_t Numbers::NextCount(const Row& row) const {
  const SequenceCounter& sequence = row.sa->outbound()->sequence;
  const uint64_t sent = sequence.last_sent();
  const uint64_t size = row.block.last - row.block.first + 1;
  uint64_t count =
      AtThisRate(sent - std::min(sent, row.sent), clock_.MonotonicNs() - row.given_ns, kSecond);
  if (sent >= sequence.edge()) count = std::max(count, 2 * size);
  return std::clamp(count, sizes_.smallest_block, sizes_.largest_block);
}

// The rate counts refused packets, too. A step that is too small grows several times at most: a
// peer that only skips numbers does not send that fast, and who takes over would begin far ahead of
// it.
uint64_t Numbers::NextStep(const Row& row) const {
  const uint64_t wanted = row.sa->inbound()->replay.wanted();
  const uint64_t took = clock_.MonotonicNs() - row.raised_ns;
  const uint64_t before = row.mark - std::min(row.mark, row.accepted);
  const uint64_t window = std::clamp(4 * answer_ns_, kSecond / 10, kSecond);
  const uint64_t step = AtThisRate(wanted - std::min(wanted, row.accepted), took, window);
  const uint64_t grown = AtMost(0, (wanted > row.mark ? 8 : 2) * before, sizes_.largest_step);
  return std::clamp(std::min(step, grown), sizes_.smallest_step, sizes_.largest_step);
}

// --- Asking ---

Status Numbers::AskOutbound(Grant* grant, uint64_t count) {
  SequenceCounter& sequence = grant->row->sa->outbound()->sequence;
  grant->block = {};
  if (!grant->row->identity.has_value()) {
    const uint64_t after = std::max(sequence.edge(), sequence.last_sent());
    grant->block = {after + 1, AtMost(after, count, sequence.limit())};
    return {};
  }
  const auto block = store_->Outbound(grant->row->identity->outbound, sequence.last_sent(), count);
  if (block) {
    grant->block = *block;
  } else if (block.error().code != Errc::kRange) {
    return block.error();
  } else {
    grant->none_left = true;
  }
  return {};
}

// To `step` numbers behind `from`. If somebody else raised the mark, this window goes on behind it.
Status Numbers::AskInbound(Grant* grant, uint64_t from, uint64_t step) {
  const Row& row = *grant->row;
  const uint64_t limit = LimitOf(*row.sa);
  uint64_t known = row.mark;
  grant->mark.reset();
  grant->begin_at.reset();
  for (int tries = 0; tries < 3; ++tries) {
    const uint64_t base = known == row.mark ? from : std::max(from, known);
    const uint64_t up_to = std::max(AtMost(base, step, limit), known);
    const auto mark = store_->Inbound(row.identity->inbound, known, up_to);
    if (!mark) return mark.error();
    if (mark->raised) {
      grant->mark = up_to;
      if (known != row.mark) grant->begin_at = known;
      return {};
    }
    known = mark->mark;
  }
  return MakeError(Errc::kAgain, "others raise the same mark at the same time");
}

// By an earlier SA of the same name. One that this process continues knows it more exactly.
Status Numbers::AskWhatWasAccepted(Grant* grant) {
  const auto known = store_->Inbound(grant->row->identity->inbound, 0, 0);
  if (!known) return known.error();
  if (known->mark > grant->row->sa->inbound()->replay.safe_edge()) grant->begin_at = known->mark;
  return {};
}

Status Numbers::NoteAccepted(const NumberId& id, uint64_t last) {
  const auto known = store_->Inbound(id, 0, last);
  if (!known) return known.error();
  if (known->raised || known->mark >= last) return {};
  return store_->Inbound(id, known->mark, last).has_value() ? Status() : MakeError(Errc::kIo);
}

Status Numbers::Ask(std::vector<Grant>* grants) {
  const auto steps = [this, grants]() -> Status {
    for (Grant& grant : *grants) {
      const Row& row = *(grant = Grant{.row = grant.row}).row;
      if (NeedsOutbound(row)) CYGNET_RETURN_IF_ERROR(AskOutbound(&grant, NextCount(row)));
      if (!NeedsInbound(row)) continue;
      const uint64_t from = row.sa->inbound()->replay.wanted();
      const uint64_t step = NextStep(row);
      if (AtMost(from, step, LimitOf(*row.sa)) > row.mark) {
        CYGNET_RETURN_IF_ERROR(AskInbound(&grant, from, step));
      } else {
        grant.mark = row.mark;  // far enough: what is reserved is lost in a crash
      }
    }
    return {};
  };
  if (store_ == nullptr) return steps();
  const uint64_t begin = clock_.MonotonicNs();
  const Status asked = store_->Together(steps);
  answer_ns_ = std::max(clock_.MonotonicNs() - begin, answer_ns_ - answer_ns_ / 8);
  return asked;
}

// The cell is written before workers may use the numbers.
void Numbers::Apply(const Grant& grant) {
  Row* const row = grant.row;
  if (grant.none_left) {
    row->sa->outbound()->sequence.AdvanceTo(row->sa->outbound()->sequence.limit());
  }
  if (!grant.block.empty()) {
    SequenceCounter& sequence = row->sa->outbound()->sequence;
    row->block = grant.block;
    row->sent = std::max(sequence.last_sent(), grant.block.first - 1);
    row->given_ns = clock_.MonotonicNs();
    const uint64_t size = grant.block.last - grant.block.first + 1;
    if (row->cells != nullptr) {
      row->cells->out_given.store(grant.block.last, std::memory_order_release);
    }
    sequence.Allow(grant.block, std::min(grant.block.last, sequence.limit()) - size / 2);
  }
  if (grant.begin_at.has_value()) row->sa->inbound()->replay.BeginAt(*grant.begin_at);
  if (grant.mark.has_value()) {
    row->accepted = row->sa->inbound()->replay.wanted();
    row->raised_ns = clock_.MonotonicNs();
    SetMark(row, *grant.mark);
  }
}

void Numbers::SetMark(Row* row, uint64_t mark) {
  row->mark = mark;
  if (Reports(*row)) {
    row->ask_at = ~uint64_t{0};
    (void)row->sa->inbound()->replay.SetMark(~uint64_t{0}, ~uint64_t{0});
    return;
  }
  row->ask_at = mark - (mark - std::min(mark, row->accepted)) / 2;
  // At the last number of all there is nothing to ask for.
  if (mark == LimitOf(*row->sa)) row->ask_at = ~uint64_t{0};
  (void)row->sa->inbound()->replay.SetMark(mark, row->ask_at);
}

void Numbers::MakeDue(Row* row) {
  if (std::exchange(row->is_due, true)) return;
  due_.push_back(row->sa->number);
}

void Numbers::OnLow(const Sa& sa) {
  Row* const row = Find(sa);
  if (row == nullptr) return;
  IsMute(*row) || row->is_behind ? MakeUrgent(row) : MakeDue(row);
}

bool Numbers::DoSome() {
  GiveBack();
  const bool more = WakeSome();
  if (due_.empty()) return more;
  std::map<uint32_t, std::vector<Grant>> groups;
  for (const uint64_t number : std::exchange(due_, {})) {
    const auto it = rows_.find(number);
    if (it == rows_.end()) continue;
    it->second.is_due = false;
    if (IsMute(it->second) || it->second.is_behind) continue;
    groups[GroupOf(it->second)].push_back({.row = &it->second});
  }
  for (auto& [group, grants] : groups) TakeDue(group, std::move(grants));
  return more;
}

void Numbers::EnsureOutbound(const Sa& sa, uint64_t count) {
  Row* const row = Find(sa);
  if (row == nullptr || IsMute(*row) || row->is_behind) return;
  const SequenceCounter& sequence = sa.outbound()->sequence;
  const uint64_t sent = sequence.last_sent();
  if (sequence.exhausted() || AtMost(sent, count, sequence.limit()) <= sequence.edge()) return;
  Grant grant{.row = row};
  const Status asked = AskOutbound(&grant, std::max(count, NextCount(*row)));
  Note(asked);
  if (asked) Apply(grant);
}

uint64_t Numbers::EnsureInbound(const Sa& sa, uint64_t last) {
  Row* const row = Find(sa);
  if (row == nullptr || !KeepsInbound(*row)) return last;
  if (IsMute(*row) || row->is_behind) return std::min(last, row->mark);
  row->floor = std::max(row->floor, std::min(last, LimitOf(sa)));
  if (row->floor > row->mark) {
    Grant grant{.row = row};
    const Status asked = AskInbound(&grant, row->floor, 0);
    Note(asked);
    if (asked) Apply(grant);
  }
  row->floor = std::min(row->floor, row->mark);
  return std::min(last, row->mark);
}

// --- From time to time ---

void Numbers::Tick() {
  // A turn of the control plane's loop is bounded. After a fault, all SAs are asked for at once, in
  // one step of the store.
  constexpr std::size_t kVisits = 4096;
  if (!told_.empty()) tick_at_ = 0;
  const std::size_t visits = told_.empty() ? kVisits : rows_.size();
  std::vector<Lowering> lowerings;
  for (std::size_t i = 0; i < visits; ++i) {
    const auto it = rows_.upper_bound(tick_at_);
    if (it == rows_.end()) {
      tick_at_ = 0;
      break;
    }
    tick_at_ = it->first;
    Row& row = it->second;
    if (IsMute(row) || row.is_behind) continue;
    if (NeedsOutbound(row) || NeedsInbound(row)) MakeDue(&row);
    if (!KeepsInbound(row) || Reports(row)) continue;
    const uint64_t now = row.sa->inbound()->replay.wanted();
    const uint64_t came = now - std::min(now, std::exchange(row.at_tick, now));
    // Half of what comes between two visits is enough, if it lasts longer than an answer.
    const uint64_t ahead =
        std::max(sizes_.smallest_step, answer_ns_ < kSecond / 8 ? came / 2 : came);
    const uint64_t much = (came == 0 ? 2 : 8) * ahead;
    if (row.mark > AtMost(std::max(now, row.floor), much, ~uint64_t{0})) {
      lowerings.push_back({&row, ahead});
    }
  }
  if (!lowerings.empty()) Lower(lowerings);
  (void)DoSome();
}

// First the workers, then the store: what is stored is never below what they may accept, also if
// the answer is lost.
void Numbers::Lower(const std::vector<Lowering>& rows) {
  std::vector<uint64_t> lowered;
  for (const auto& [row, ahead] : rows) {
    ReplayWindow& window = row->sa->inbound()->replay;
    const uint64_t target = std::max(window.wanted(), row->floor) + ahead;
    lowered.push_back(window.SetMark(target, target - ahead / 2));
  }
  const Status done = store_->Together([&]() -> Status {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CYGNET_RETURN_IF_ERROR(
          store_->LowerInbound(rows[i].row->identity->inbound, lowered[i], rows[i].row->mark));
    }
    return {};
  });
  Note(done);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].row->accepted = lowered[i] - rows[i].ahead;
    SetMark(rows[i].row, lowered[i]);
  }
}

void Numbers::Note(const Status& status) {
  const std::string fault = status ? std::string() : status.error().message;
  if (fault == told_) return;
  told_ = fault;
  if (fault.empty()) {
    Log(LogLevel::kInfo, "the number store works again");
  } else {
    Log(LogLevel::kError,
        "the number store gives no numbers, SAs stop when theirs are used up: " + fault);
  }
}

}  // namespace cygnet
