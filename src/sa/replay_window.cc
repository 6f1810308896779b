#include "sa/replay_window.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <utility>

#include "base/check.h"

namespace cygnet {
namespace {

uint32_t EffectiveWindow(uint32_t asked, uint32_t at_least) {
  return asked == 0 ? 0 : std::min(std::max(asked, at_least), kMaxReplayWindow);
}

}  // namespace

uint64_t InferEsn(uint32_t low, uint64_t top, uint32_t window) {
  const uint32_t top_low = static_cast<uint32_t>(top);
  const uint64_t top_high = top >> 32;
  const uint32_t bottom = top_low - window + 1;  // modulo 2^32
  uint64_t high = top_high;
  if (top_low >= window - 1) {  // case A: the window lies in one subspace
    if (low < bottom) high = top_high + 1;
  } else if (low >= bottom) {  // case B: it spans two, and `low` is in the older one
    if (top_high == 0) return 0;
    high = top_high - 1;
  }
  return high << 32 | low;
}

ReplayWindow::ReplayWindow(const ReplayState& initial, bool esn, uint32_t at_least)
    : esn_(esn),
      extended_form_(initial.extended_form),
      window_(EffectiveWindow(initial.window, at_least)),
      asked_(initial.window),
      bmp_words_(static_cast<uint32_t>(initial.bitmap.size())) {
  // One word more than the window needs, because the word being entered may be cleared as a whole.
  const uint32_t words = std::bit_ceil(window_ / 64 + 2);
  word_mask_ = words - 1;
  if (words > kWordsInside) outside_ = std::make_unique<uint64_t[]>(words);
  Import(initial);
}

void ReplayWindow::Import(const ReplayState& initial) {
  top_ = initial.seq;
  floor_ = top_ > asked_ ? top_ - asked_ + 1 : 0;
  for (uint32_t back = 0; back < std::min(asked_, window_) && back < top_; ++back) {
    const uint64_t seq = top_ - back;
    const uint64_t index = extended_form_ ? (seq - 1) % asked_ : back;
    const std::size_t word = static_cast<std::size_t>(index / 32);
    if (word < initial.bitmap.size() && ((initial.bitmap[word] >> (index % 32)) & 1) != 0) {
      bits()[(seq >> 6) & word_mask_] |= uint64_t{1} << (seq & 63);
    }
  }
}

ReplayState ReplayWindow::Export(uint64_t oseq) {
  const std::lock_guard lock(lock_);
  ReplayState out;
  out.oseq = oseq;
  out.seq = top_;
  out.window = asked_;
  out.extended_form = extended_form_;
  std::vector<uint32_t> words(extended_form_ ? bmp_words_ : 1);
  for (uint32_t back = 0; back < std::min(asked_, window_) && back < top_; ++back) {
    const uint64_t seq = top_ - back;
    if (TestBit(seq) || seq <= lost_) {  // nobody may accept what a lost device may have accepted
      const uint64_t index = extended_form_ ? (seq - 1) % asked_ : back;
      const std::size_t word = static_cast<std::size_t>(index / 32);
      if (word < words.size()) words[word] |= uint32_t{1} << (index % 32);
    }
  }
  out.bitmap = std::move(words);
  return out;
}

uint64_t ReplayWindow::InferLocked(uint32_t low) const {
  return esn_ && window_ > 0 ? InferEsn(low, top_, window_) : low;
}

DropReason ReplayWindow::CheckLocked(uint64_t seq) const {
  if (!plain_ && seq > limit_) return DropReason::kInHandOver;
  if (window_ == 0) return DropReason::kNone;
  if (!plain_ && seq <= lost_) return DropReason::kInNumberUnknown;
  if (seq > top_) return DropReason::kNone;
  if (top_ - seq >= window_ || seq < floor_) {
    return DropReason::kInReplayOld;
  }
  return TestBit(seq) ? DropReason::kInReplayDuplicate : DropReason::kNone;
}

void ReplayWindow::MarkLocked(uint64_t seq) {
  if (window_ == 0) {
    if (seq > top_) top_ = seq;
    return;
  }
  if (seq > top_) {
    // Clear the words between the old and the new top (RFC 6479), or all of them on a long jump.
    const uint64_t from = top_ >> 6;
    const uint64_t steps = (seq >> 6) - from;
    const uint64_t clear = steps <= word_mask_ ? steps : uint64_t{word_mask_} + 1;
    for (uint64_t i = 1; i <= clear; ++i) bits()[(from + i) & word_mask_] = 0;
    top_ = seq;
  }
  bits()[(seq >> 6) & word_mask_] |= uint64_t{1} << (seq & 63);
}

void ReplayWindow::CheckRun(std::span<const uint32_t> low, std::span<uint64_t> seq,
                            std::span<DropReason> verdict) {
  if (AreAllNew(low, seq, verdict)) return;
  const std::lock_guard lock(lock_);
  const bool esn = esn_ && window_ > 0;
  const bool simple = !esn || static_cast<uint32_t>(top_) >= window_ - 1;
  const uint64_t high = esn ? top_ >> 32 << 32 : 0;
  const uint64_t known = std::max<uint64_t>(top_, lost_);
  const uint64_t last = limit_;
  for (std::size_t i = 0; i < low.size(); ++i) {
    if (verdict[i] != DropReason::kNone) continue;
    seq[i] = high | low[i];
    if (simple && seq[i] > known && seq[i] <= last) continue;
    seq[i] = InferLocked(low[i]);
    if (seq[i] == 0 && window_ > 0) {
      // Number 0 is never sent. With ESN, a low word from before the first subspace is merely old.
      verdict[i] = low[i] == 0 ? DropReason::kInReplayZero : DropReason::kInReplayOld;
    } else {
      verdict[i] = CheckLocked(seq[i]);
      if (verdict[i] == DropReason::kInReplayOld) lateness_.Rejected(top_ - seq[i]);
    }
  }
}

// Nearly every run is like this: each number is above the newest, in its subspace, and not one of
// the end of the subspace before, where the window may begin. Then its high word is that of the
// newest (InferEsn). No lock is needed, because CommitRun checks each number again: it sees what
// has changed meanwhile.
bool ReplayWindow::AreAllNew(std::span<const uint32_t> low, std::span<uint64_t> seq,
                             std::span<const DropReason> verdict) const {
  if (!plain_) return false;
  const uint64_t newest = top_;
  const bool esn = esn_ && window_ > 0;
  const uint64_t high = esn ? newest >> 32 << 32 : 0;
  const auto newest_low = static_cast<uint32_t>(newest);
  const bool spans_two = esn && newest_low < window_ - 1;
  const uint64_t end = spans_two ? high | (newest_low - window_ + 1) : ~uint64_t{0};
  for (std::size_t i = 0; i < low.size(); ++i) {
    const uint64_t number = high | low[i];
    if (number <= newest || number >= end || verdict[i] != DropReason::kNone) return false;
    seq[i] = number;
  }
  return true;
}

// Nearly every run is like this: each number is new and the highest so far.
bool ReplayWindow::OnlyRises(std::span<const uint64_t> seq,
                             std::span<const DropReason> verdict) const {
  uint64_t newest = top_;
  for (std::size_t i = 0; i < seq.size(); ++i) {
    if (seq[i] <= newest || verdict[i] != DropReason::kNone) return false;
    newest = seq[i];
  }
  if (seq.empty() || closed_ || newest - seq[0] >= window_) return false;
  if (plain_) return true;
  const uint64_t mark = kept_ != nullptr ? kept_->mark : ~uint64_t{0};
  return newest <= std::min(limit_, mark) && seq[0] > lost_;
}

// MarkLocked for all of a run that only rises: words are cleared once.
void ReplayWindow::MarkRisingLocked(std::span<const uint64_t> seq) {
  MarkLocked(seq.back());
  uint64_t* const words = bits();
  for (const uint64_t s : seq) words[(s >> 6) & word_mask_] |= uint64_t{1} << (s & 63);
}

NumbersLeft ReplayWindow::CommitRun(std::span<const uint64_t> seq, std::span<DropReason> verdict) {
  const std::lock_guard lock(lock_);
  if (OnlyRises(seq, verdict)) {
    MarkRisingLocked(seq);
    return TellLocked();
  }
  const uint64_t mark = !plain_ && kept_ != nullptr ? kept_->mark : ~uint64_t{0};
  for (std::size_t i = 0; i < seq.size(); ++i) {
    if (verdict[i] != DropReason::kNone) continue;
    verdict[i] = closed_ ? DropReason::kInReplayOld : CheckLocked(seq[i]);
    if (closed_) continue;
    if (seq[i] > mark && verdict[i] == DropReason::kNone) {
      verdict[i] = RefuseLocked(seq[i]);
    } else if (verdict[i] == DropReason::kNone) {
      if (seq[i] < top_) lateness_.Accepted(top_ - seq[i]);
      MarkLocked(seq[i]);
    } else if (verdict[i] == DropReason::kInReplayOld) {
      lateness_.Rejected(top_ - seq[i]);
    }
  }
  return TellLocked();
}

// After each commit.
NumbersLeft ReplayWindow::TellLocked() {
  if (plain_ || kept_ == nullptr) return NumbersLeft::kEnough;
  TellCell();
  if (top_ < kept_->ask_at) return NumbersLeft::kEnough;
  kept_->ask_at = ~uint64_t{0};
  return NumbersLeft::kLow;
}

// Its number is above the mark.
DropReason ReplayWindow::RefuseLocked(uint64_t seq) {
  if (kept_->refused <= kept_->mark) kept_->ask_at = 0;  // once for each mark
  kept_->refused = std::max(kept_->refused, seq);
  return DropReason::kInNoNumbers;
}

DropReason ReplayWindow::Check(uint64_t seq) {
  const std::lock_guard lock(lock_);
  if (seq == 0 && window_ > 0) return DropReason::kInReplayZero;
  return CheckLocked(seq);
}

DropReason ReplayWindow::Commit(uint64_t seq) {
  DropReason verdict = DropReason::kNone;
  (void)CommitRun({&seq, 1}, {&verdict, 1});
  return verdict;
}

uint64_t ReplayWindow::InferHigh(uint32_t low) {
  const std::lock_guard lock(lock_);
  return InferLocked(low);
}

bool ReplayWindow::MayBeLate(uint32_t low, uint64_t inferred) {
  constexpr uint64_t kSubspace = uint64_t{1} << 32;
  constexpr uint64_t kFarAhead = uint64_t{1} << 31;
  const std::lock_guard lock(lock_);
  if (!esn_ || static_cast<uint32_t>(inferred) != low || inferred <= kSubspace) return false;
  if (inferred <= top_ || inferred - top_ < kFarAhead) return false;
  const uint64_t earlier = inferred - kSubspace;
  if (earlier >= top_) return false;  // a whole subspace ahead: the inference cannot produce it
  lateness_.Rejected(top_ - earlier);
  return true;
}

void ReplayWindow::TakeOver(ReplayWindow& from) {
  const std::lock_guard theirs(from.lock_);
  const std::lock_guard ours(lock_);  // uncontended: not in use yet
  CYGNET_CHECK(word_mask_ == from.word_mask_ && window_ == from.window_);
  top_ = uint64_t{from.top_};
  floor_ = from.floor_;
  limit_ = from.limit_;
  const uint64_t own = std::exchange(lost_, std::max(lost_, from.lost_));
  std::copy_n(from.bits(), std::size_t{word_mask_} + 1, bits());
  NotePlain();
  from.closed_ = true;
  if (own > top_) MarkLocked(own);  // BeginAt
  TellCell();
}

void ReplayWindow::Limit(uint64_t last) {
  const std::lock_guard lock(lock_);
  limit_ = last;
  NotePlain();
  if (kept_ != nullptr && last == ~uint64_t{0}) kept_->lent = 0;
}

void ReplayWindow::Lend(uint64_t last) {
  const std::lock_guard lock(lock_);
  Kept* const kept = KeptLocked();
  kept->lent = std::max(kept->lent, last);
  TellCell();
}

void ReplayWindow::Merge(uint64_t highest, std::span<const uint32_t> bitmap) {
  const std::lock_guard lock(lock_);
  const uint64_t own = std::exchange(limit_, ~uint64_t{0});
  NotePlain();
  if (kept_ != nullptr) kept_->lent = 0;
  if (highest <= own) return TellCell();  // it accepted nothing
  MarkLocked(highest);
  for (uint32_t back = 1; back < window_ && highest - back > own; ++back) {
    const uint64_t seq = highest - back;
    const uint64_t index = (seq - 1) % window_;
    const auto word = static_cast<std::size_t>(index / 32);
    if (word < bitmap.size() && ((bitmap[word] >> (index % 32)) & 1) != 0) MarkLocked(seq);
  }
  TellCell();
}

void ReplayWindow::GiveUp(uint64_t highest, uint64_t last) {
  const std::lock_guard lock(lock_);
  limit_ = ~uint64_t{0};
  if (kept_ != nullptr) kept_->lent = 0;
  lost_ = last > lost_ ? last : lost_;
  NotePlain();
  if (highest > top_) MarkLocked(highest);  // so that the high word of an ESN is inferred rightly
  TellCell();
}

void ReplayWindow::BeginAt(uint64_t last) {
  const std::lock_guard lock(lock_);
  lost_ = std::max(lost_, last);
  NotePlain();
  if (last > top_) MarkLocked(last);  // as in GiveUp
  TellCell();
}

uint64_t ReplayWindow::SetMark(uint64_t mark, uint64_t ask_at) {
  const std::lock_guard lock(lock_);
  Kept* const kept = KeptLocked();
  kept->mark = std::max<uint64_t>({mark, top_, lost_});
  // A number above the new mark came meanwhile: ask at once.
  kept->ask_at = kept->refused > kept->mark ? 0 : ask_at;
  return kept->mark;
}

uint64_t ReplayWindow::mark() {
  const std::lock_guard lock(lock_);
  return kept_ != nullptr ? kept_->mark : ~uint64_t{0};
}

uint64_t ReplayWindow::wanted() {
  const std::lock_guard lock(lock_);
  return kept_ != nullptr ? std::max<uint64_t>(top_, kept_->refused) : top_;
}

void ReplayWindow::SetCell(std::atomic<uint64_t>* cell) {
  const std::lock_guard lock(lock_);
  KeptLocked()->cell = cell;
  TellCell();
}

ReplayWindow::Kept* ReplayWindow::KeptLocked() {
  if (kept_ == nullptr) kept_ = std::make_unique<Kept>();
  NotePlain();
  return kept_.get();
}

void ReplayWindow::TellCell() const {
  if (kept_ == nullptr || kept_->cell == nullptr) return;
  kept_->cell->store(std::max<uint64_t>({top_, lost_, kept_->lent}), std::memory_order_release);
}

uint64_t ReplayWindow::safe_edge() {
  const std::lock_guard lock(lock_);
  return window_ > 0 && lost_ > top_ ? lost_ : uint64_t{top_};
}

uint64_t ReplayWindow::highest() {
  const std::lock_guard lock(lock_);
  return top_;
}

}  // namespace cygnet
