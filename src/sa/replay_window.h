// ReplayWindow: which inbound sequence numbers were seen (RFC 4303 section 3.4.3 and appendix A;
// the ring of bits is that of RFC 6479). `Check` before authentication, `Commit` after it: only an
// authenticated packet moves the window.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/spin_lock.h"
#include "packet/drop_reason.h"
#include "sa/sa_spec.h"

namespace cygnet {

inline constexpr uint32_t kMaxReplayWindow = 4096;

class ReplayWindow {
 public:
  // `initial` gives window size and starting counters; window 0 checks nothing.
  ReplayWindow(const ReplayState& initial, bool esn);

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

  uint64_t highest();
  // The live state in the kernel's layout, for dumps.
  ReplayState Export(uint64_t oseq);

 private:
  uint64_t InferLocked(uint32_t low) const;
  DropReason CheckLocked(uint64_t seq) const;
  void MarkLocked(uint64_t seq);
  bool TestBit(uint64_t seq) const { return (bits_[(seq >> 6) & word_mask_] >> (seq & 63)) & 1; }
  void Import(const ReplayState& initial);

  SpinLock lock_;
  const bool esn_;
  const bool extended_form_;
  const uint32_t window_;
  const uint32_t bmp_words_;  // of the kernel's form
  uint64_t top_ = 0;          // highest authenticated number
  uint32_t word_mask_ = 0;
  std::unique_ptr<uint64_t[]> bits_;
};

// The inference by itself, for a device that keeps its own idea of the highest number.
// Returns 0 for a number that would lie below the first subspace.
uint64_t InferEsn(uint32_t low, uint64_t top, uint32_t window);

}  // namespace cygnet
