// Lifetime: what an SA may still carry and what it has carried (RFC 4301 section 4.4.2.1). Counts
// as the Linux kernel does: a limit is tested before a packet is counted. Shared by all workers and
// both directions; charged once per run.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "sa/sa_spec.h"

namespace cygnet {

class Lifetime {
 public:
  Lifetime(const LifetimeLimits& limits, const LifetimeUsage& usage);
  ~Lifetime() { delete rare_.load(std::memory_order_relaxed); }
  Lifetime(const Lifetime&) = delete;
  Lifetime& operator=(const Lifetime&) = delete;

  struct ChargeResult {
    uint32_t allowed = 0;   // leading packets of the run that may continue
    bool soft_hit = false;  // this call crossed the soft limit
    bool hard_hit = false;  // a packet was refused
  };
  // Worker. `sizes[i]`: bytes counted for packet i. `now`: wall-clock seconds.
  // `workers`: kOne if no other thread ever charges this SA; then nothing must be locked, which
  // takes longer than the rest of a short run's charge.
  // Inline for SAs without limits: runs may be short.
  enum class Workers : uint8_t { kOne, kMany };
  ChargeResult Charge(std::span<const uint32_t> sizes, uint64_t now,
                      Workers workers = Workers::kMany) {
    uint64_t total = 0;
    for (const uint32_t size : sizes) total += size;
    const auto packets = static_cast<uint32_t>(sizes.size());
    if (!ChargeUnlimited(packets, total, now, workers)) return ChargeLimited(sizes, now);
    return {.allowed = packets};
  }
  // Worker: charges so many packets and bytes if the SA has no limit of either; else it does
  // nothing and returns false.
  bool ChargeUnlimited(uint32_t packets, uint64_t bytes, uint64_t now, Workers workers) {
    if (!unlimited_.load(std::memory_order_acquire)) return false;
    Count(bytes, workers, &bytes_);
    Count(packets, workers, &packets_);
    if (packets != 0) NoteUse(now);
    return true;
  }

  // Worker: true if a run of so many packets and bytes meets no limit, as far as this worker knows.
  bool HasRoomFor(uint64_t packets, uint64_t bytes) const {
    return unlimited_.load(std::memory_order_acquire) || LimitsHaveRoomFor(packets, bytes);
  }

  // Control thread.
  void SetLimits(const LifetimeLimits& limits);         // UPDSA: also re-arms the soft events
  void SetUsage(const LifetimeUsage& usage);            // NEWAE
  void SetTimes(uint64_t add_time, uint64_t use_time);  // leaves what workers count
  // A soft limit by time was reported; SetLimits makes it false again.
  bool soft_time_signalled() const {
    const Rare* rare = rare_.load(std::memory_order_relaxed);
    return rare != nullptr && rare->soft_time_signalled;
  }
  void SetSoftTimeSignalled(bool signalled) {
    if (signalled != soft_time_signalled()) MakeRare()->soft_time_signalled = signalled;
  }
  void SetLastUsed(uint64_t at) { last_used_.store(at, std::memory_order_relaxed); }
  // What a device counted. `at`: wall-clock seconds; no effect on the times if nothing was counted.
  void AddUsage(uint64_t packets, uint64_t bytes, uint64_t at);
  LifetimeLimits limits() const;
  LifetimeUsage usage() const;
  uint64_t last_used() const { return last_used_.load(std::memory_order_relaxed); }

 private:
  ChargeResult ChargeLimited(std::span<const uint32_t> sizes, uint64_t now);
  bool LimitsHaveRoomFor(uint64_t packets, uint64_t bytes) const;
  static void Count(uint64_t n, Workers workers, std::atomic<uint64_t>* count) {
    if (workers == Workers::kOne) {
      count->store(count->load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    } else {
      count->fetch_add(n, std::memory_order_relaxed);
    }
  }
  void NoteUse(uint64_t now) {
    if (last_used_.load(std::memory_order_relaxed) == now) return;
    last_used_.store(now, std::memory_order_relaxed);
    uint64_t never = 0;
    use_time_.compare_exchange_strong(never, now, std::memory_order_relaxed);
  }

  // Allocated when first needed and then kept, because workers may be reading it.
  struct Rare {
    std::atomic<uint64_t> soft_bytes{kUnlimited};
    std::atomic<uint64_t> hard_bytes{kUnlimited};
    std::atomic<uint64_t> soft_packets{kUnlimited};
    std::atomic<uint64_t> hard_packets{kUnlimited};
    // What the control thread added to the workers' counts, modulo 2^64. Only workers write those.
    std::atomic<uint64_t> more_bytes{0};
    std::atomic<uint64_t> more_packets{0};
    std::atomic<bool> soft_signalled{false};  // a soft limit of bytes or packets was reported
    bool soft_time_signalled = false;         // control thread, as what follows
    uint64_t soft_add_seconds = 0;
    uint64_t hard_add_seconds = 0;
    uint64_t soft_use_seconds = 0;
    uint64_t hard_use_seconds = 0;
  };
  static_assert(sizeof(Rare) == 88);  // as much as malloc gives with 80
  Rare* MakeRare();
  uint64_t bytes(const Rare* rare) const;
  uint64_t packets(const Rare* rare) const;

  std::atomic<uint64_t> bytes_;    // that workers counted
  std::atomic<uint64_t> packets_;  // the same
  std::atomic<uint64_t> use_time_;
  std::atomic<uint64_t> last_used_{0};
  uint64_t add_time_;
  std::atomic<Rare*> rare_{nullptr};
  std::atomic<bool> unlimited_{false};  // no byte or packet limit: the common case
};

}  // namespace cygnet
