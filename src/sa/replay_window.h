// ReplayWindow: which inbound sequence numbers were seen (RFC 4303 section 3.4.3 and appendix A;
// the ring of bits is that of RFC 6479). `Check` before authentication, `Commit` after it: only an
// authenticated packet moves the window.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/spin_lock.h"
#include "packet/drop_reason.h"
#include "sa/lateness.h"
#include "sa/sa_spec.h"

namespace cygnet {

// Largest window that is kept. (XFRM lets a client ask for 4096 at most.)
inline constexpr uint32_t kMaxReplayWindow = 65'536;

class ReplayWindow {
 public:
  // `initial` gives window size and starting counters; window 0 checks nothing. A window smaller
  // than `at_least` (0: what was asked) is widened to that; of the numbers before those that
  // `initial` knows about none is taken. At most kMaxReplayWindow.
  ReplayWindow(const ReplayState& initial, bool esn, uint32_t at_least = 0);

  ReplayWindow(const ReplayWindow&) = delete;
  ReplayWindow& operator=(const ReplayWindow&) = delete;

  // One run of one SA under one lock. For each low word: `seq` receives the full number (high word
  // inferred when ESN), `verdict` kNone or the reason to drop. Skips entries whose verdict is
  // already set.
  void CheckRun(std::span<const uint32_t> low, std::span<uint64_t> seq,
                std::span<DropReason> verdict);
  // Marks authenticated numbers as seen; one that became old or a duplicate meanwhile gets its
  // verdict. Skips entries whose verdict is already set.
  void CommitRun(std::span<const uint64_t> seq, std::span<DropReason> verdict);

  // Single-packet forms.
  DropReason Check(uint64_t seq);
  DropReason Commit(uint64_t seq);
  // RFC 4303 appendix A2: the full number that `low` stands for. kInReplayOld numbers below the
  // first subspace come back as 0.
  uint64_t InferHigh(uint32_t low);

  // Asked about a packet whose ICV failed: was the full number `inferred` from `low` perhaps wrong,
  // the packet an old one? `low` alone cannot tell a number behind the window from one of the next
  // subspace, and appendix A2 always takes the latter. When that is 2^31 or more ahead of the
  // newest, the packet is nearer to the past than to the future: no sender skips half a subspace,
  // but a path may hold a packet back. True then, and the packet is counted as late. Changes
  // nothing else; the packet stays dropped, only the reason is told better. (A forger can have it
  // told so, too.)
  bool MayBeLate(uint32_t low, uint64_t inferred);

  // Control thread: what `from` has seen counts as seen here, and `from` takes nothing any more, so
  // that no number is taken by both. REQUIRES: made of the same state and sizes, and not in use
  // yet.
  void TakeOver(ReplayWindow& from);

  uint64_t highest();
  // What is checked against: at least what the client asked for.
  uint32_t window() const { return window_; }
  // The live state in the kernel's layout, for dumps; of the size that the client asked for.
  ReplayState Export(uint64_t oseq);
  // Any thread. Authenticated packets that were not the newest, and those rejected as too old.
  LatenessHistogram lateness() const { return lateness_.Read(); }

 private:
  uint64_t InferLocked(uint32_t low) const;
  DropReason CheckLocked(uint64_t seq) const;
  void MarkLocked(uint64_t seq);
  bool TestBit(uint64_t seq) const { return (bits_[(seq >> 6) & word_mask_] >> (seq & 63)) & 1; }
  void Import(const ReplayState& initial);

  SpinLock lock_;
  const bool esn_;
  const bool extended_form_;
  const uint32_t asked_;  // the client's window
  const uint32_t window_;
  const uint32_t bmp_words_;  // of the kernel's form
  uint32_t word_mask_ = 0;
  uint64_t top_ = 0;     // highest authenticated number
  uint64_t floor_ = 0;   // numbers below were never in the window: seen or not, nobody knows
  bool closed_ = false;  // another has taken over
  uint64_t* bits_ = nullptr;
  static constexpr uint32_t kWordsInside = 4;  // a window of 128; larger ones are outside
  std::array<uint64_t, kWordsInside> inside_{};
  std::unique_ptr<uint64_t[]> outside_;
  LatenessCounts lateness_;
};

// The inference by itself, for a device that keeps its own idea of the highest number.
// Returns 0 for a number that would lie below the first subspace.
uint64_t InferEsn(uint32_t low, uint64_t top, uint32_t window);

}  // namespace cygnet
