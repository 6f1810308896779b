// ReplayWindow: which inbound sequence numbers were seen (RFC 4303 section 3.4.3 and appendix A;
// ring of bits as in RFC 6479). Call `Check` before authentication and `Commit` after it: only an
// authenticated packet moves the window.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "base/spin_lock.h"
#include "packet/drop_reason.h"
#include "sa/lateness.h"
#include "sa/sa_spec.h"

namespace cygnet {

// Largest supported window. (Over XFRM a client can request at most 4096.)
inline constexpr uint32_t kMaxReplayWindow = 65'536;

// Whether a window that accepts numbers up to a mark needs a higher one (ReplayWindow::SetMark).
enum class NumbersLeft : uint8_t { kEnough, kLow };

class ReplayWindow {
 public:
  // `initial` gives window size and starting counters; window 0 checks nothing. A window smaller
  // than `at_least` is widened to it (0: not widened); numbers older than `initial` covers are
  // never accepted. At most kMaxReplayWindow.
  ReplayWindow(const ReplayState& initial, bool esn, uint32_t at_least = 0);

  ReplayWindow(const ReplayWindow&) = delete;
  ReplayWindow& operator=(const ReplayWindow&) = delete;

  // For a run of one SA. For each low word, `seq` receives the full number (high word inferred if
  // ESN), and `verdict` kNone or the reason to drop. Skips entries whose verdict is already set.
  void CheckRun(std::span<const uint32_t> low, std::span<uint64_t> seq,
                std::span<DropReason> verdict);
  // Marks authenticated numbers as seen, under one lock. A number that meanwhile became old or a
  // duplicate gets its verdict. Skips entries whose verdict is already set. kLow: once for each
  // mark.
  NumbersLeft CommitRun(std::span<const uint64_t> seq, std::span<DropReason> verdict);

  // Single-packet forms.
  DropReason Check(uint64_t seq);
  DropReason Commit(uint64_t seq);
  // RFC 4303 appendix A2: infers the full number from `low`. Returns 0 for a number below the first
  // subspace (kInReplayOld).
  uint64_t InferHigh(uint32_t low);

  // For a packet whose ICV failed: might `inferred`, the full number inferred from `low`, be wrong
  // because the packet is old? `low` alone cannot distinguish a number behind the window from one
  // of the next subspace, and appendix A2 always chooses the latter. If that choice is 2^31 or more
  // ahead of the newest number, the packet is nearer to the past than to the future: no sender
  // skips half a subspace, but a path may delay a packet. Then it returns true and counts the
  // packet as late. It changes nothing else: the packet stays dropped, only the reason is more
  // precise. (A forger can also cause this reason.)
  bool MayBeLate(uint32_t low, uint64_t inferred);

  // Control thread: copies the numbers that `from` has seen and closes `from`, so that no number is
  // accepted by both. REQUIRES: both have the same initial state and sizes; this window is not in
  // use yet.
  void TakeOver(ReplayWindow& from);

  // --- A device checks a part of the numbers (device/packet_offload.h). Control thread ---
  // Numbers above `last` belong to a device: kInHandOver.
  void Limit(uint64_t last);
  // The device returned its numbers: those it accepted up to `highest`, in the layout of
  // ReplayState::bitmap for a window of window(). Ends Limit.
  void Merge(uint64_t highest, std::span<const uint32_t> bitmap);
  // The device is lost and may have accepted any number up to `last`: kInNumberUnknown. `highest`:
  // its last reading. Ends Limit.
  void GiveUp(uint64_t highest, uint64_t last);
  // For the cell (SetCell): the device accepts numbers up to `last`, until one of the above, or
  // until Limit says that none belongs to it.
  void Lend(uint64_t last);
  // The lowest number that nobody can have accepted, minus one.
  uint64_t safe_edge();

  // --- Numbers that outlive the process (control/numbers). Control thread ---
  // Another start may have accepted numbers up to `last`: kInNumberUnknown.
  void BeginAt(uint64_t last);
  // Numbers above `mark` are refused after authentication (kInNoNumbers), because they are not
  // reserved yet. CommitRun tells that they are low once the newest number has passed `ask_at`, or
  // one above the mark came. Returns the mark in effect: it is not below a number that may have
  // been accepted.
  uint64_t SetMark(uint64_t mark, uint64_t ask_at);
  uint64_t mark();
  // The highest number that an authenticated packet had, also if it was above the mark.
  uint64_t wanted();
  // From here on `cell` has the highest number that may have been accepted, written before the
  // packet is delivered. nullptr: nobody reads it.
  void SetCell(std::atomic<uint64_t>* cell);

  uint64_t highest();
  // The window in effect: at least what the client requested.
  uint32_t window() const { return window_; }
  // The live state in the kernel's layout, for dumps, in the size that the client requested.
  ReplayState Export(uint64_t oseq);
  // Any thread. Counts authenticated packets that were not the newest, and packets rejected as too
  // old.
  LatenessHistogram lateness() const { return lateness_.Read(); }

 private:
  // Only of windows whose numbers outlive the process.
  struct Kept {
    uint64_t mark = ~uint64_t{0};  // numbers above are not reserved yet
    uint64_t ask_at = ~uint64_t{0};
    uint64_t refused = 0;  // the highest number above a mark that came
    uint64_t lent = 0;     // a device accepts numbers up to here
    std::atomic<uint64_t>* cell = nullptr;
  };

  // Written under the lock, read by AreAllNew without it.
  template <typename T>
  class Relaxed {
   public:
    explicit Relaxed(T value) : value_(value) {}
    Relaxed& operator=(T value) {
      value_.store(value, std::memory_order_relaxed);
      return *this;
    }
    operator T() const {  // NOLINT: implicit, to read like its value
      return value_.load(std::memory_order_relaxed);
    }

   private:
    std::atomic<T> value_;
  };

  uint64_t InferLocked(uint32_t low) const;
  DropReason CheckLocked(uint64_t seq) const;
  bool AreAllNew(std::span<const uint32_t> low, std::span<uint64_t> seq,
                 std::span<const DropReason> verdict) const;
  bool OnlyRises(std::span<const uint64_t> seq, std::span<const DropReason> verdict) const;
  void MarkLocked(uint64_t seq);
  void MarkRisingLocked(std::span<const uint64_t> seq);
  NumbersLeft TellLocked();
  DropReason RefuseLocked(uint64_t seq);
  void TellCell() const;
  Kept* KeptLocked();
  bool TestBit(uint64_t seq) const { return (bits()[(seq >> 6) & word_mask_] >> (seq & 63)) & 1; }
  const uint64_t* bits() const {
    return word_mask_ < kWordsInside ? inside_.data() : outside_.get();
  }
  uint64_t* bits() { return word_mask_ < kWordsInside ? inside_.data() : outside_.get(); }
  void Import(const ReplayState& initial);
  // Call after a change of limit_, lost_ or kept_.
  void NotePlain() { plain_ = limit_ == ~uint64_t{0} && lost_ == 0 && kept_ == nullptr; }

  // One cache line has all that packets of a plain window need, if it has 128 numbers or less.
  SpinLock lock_;
  Relaxed<bool> plain_{
      true};  // no number belongs or belonged to a device, and none outlives the process
  const bool esn_;
  const bool extended_form_;
  bool closed_ = false;  // TakeOver gave the state to another window
  const uint32_t window_;
  uint32_t word_mask_ = 0;
  Relaxed<uint64_t> top_{0};  // highest authenticated number
  uint64_t floor_ = 0;  // numbers below were never in the window: unknown whether they were seen
  static constexpr uint32_t kWordsInside = 4;  // larger windows are allocated
  std::array<uint64_t, kWordsInside> inside_{};

  std::unique_ptr<uint64_t[]> outside_;
  uint64_t limit_ = ~uint64_t{0};  // numbers above belong to a device
  uint64_t lost_ = 0;              // a lost device may have accepted numbers up to here
  std::unique_ptr<Kept> kept_;     // nullptr: no number outlives the process
  const uint32_t asked_;           // the client's window
  const uint32_t bmp_words_;       // words in the kernel's layout
  LatenessCounts lateness_;
};

// The inference alone, for a device that tracks the highest number itself. Returns 0 for a number
// below the first subspace.
uint64_t InferEsn(uint32_t low, uint64_t top, uint32_t window);

}  // namespace cygnet
