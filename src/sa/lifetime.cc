#include "sa/lifetime.h"

namespace cygnet {

Lifetime::Lifetime(const LifetimeLimits& limits, const LifetimeUsage& usage)
    : bytes_(usage.bytes),
      packets_(usage.packets),
      use_time_(usage.use_time),
      add_time_(usage.add_time) {
  SetLimits(limits);
}

Lifetime::Rare* Lifetime::MakeRare() {
  Rare* rare = rare_.load(std::memory_order_relaxed);
  if (rare == nullptr) {
    rare = new Rare;
    rare_.store(rare, std::memory_order_release);
  }
  return rare;
}

uint64_t Lifetime::bytes(const Rare* rare) const {
  const uint64_t more = rare != nullptr ? rare->more_bytes.load(std::memory_order_relaxed) : 0;
  return bytes_.load(std::memory_order_relaxed) + more;
}

uint64_t Lifetime::packets(const Rare* rare) const {
  const uint64_t more = rare != nullptr ? rare->more_packets.load(std::memory_order_relaxed) : 0;
  return packets_.load(std::memory_order_relaxed) + more;
}

void Lifetime::SetLimits(const LifetimeLimits& limits) {
  Rare* live = rare_.load(std::memory_order_relaxed);
  if (live == nullptr && limits != LifetimeLimits{}) live = MakeRare();
  if (live != nullptr) {
    live->soft_add_seconds = limits.soft_add_seconds;
    live->hard_add_seconds = limits.hard_add_seconds;
    live->soft_use_seconds = limits.soft_use_seconds;
    live->hard_use_seconds = limits.hard_use_seconds;
    live->soft_bytes.store(limits.soft_bytes, std::memory_order_relaxed);
    live->hard_bytes.store(limits.hard_bytes, std::memory_order_relaxed);
    live->soft_packets.store(limits.soft_packets, std::memory_order_relaxed);
    live->hard_packets.store(limits.hard_packets, std::memory_order_relaxed);
    live->soft_signalled.store(false, std::memory_order_relaxed);
    live->soft_time_signalled = false;
  }
  unlimited_.store(limits.soft_bytes == kUnlimited && limits.hard_bytes == kUnlimited &&
                       limits.soft_packets == kUnlimited && limits.hard_packets == kUnlimited,
                   std::memory_order_release);
}

LifetimeLimits Lifetime::limits() const {
  const Rare* live = rare_.load(std::memory_order_relaxed);
  if (live == nullptr) return {};
  return {.soft_bytes = live->soft_bytes.load(std::memory_order_relaxed),
          .hard_bytes = live->hard_bytes.load(std::memory_order_relaxed),
          .soft_packets = live->soft_packets.load(std::memory_order_relaxed),
          .hard_packets = live->hard_packets.load(std::memory_order_relaxed),
          .soft_add_seconds = live->soft_add_seconds,
          .hard_add_seconds = live->hard_add_seconds,
          .soft_use_seconds = live->soft_use_seconds,
          .hard_use_seconds = live->hard_use_seconds};
}

void Lifetime::SetUsage(const LifetimeUsage& usage) {
  Rare* const rare = MakeRare();
  rare->more_bytes.store(usage.bytes - bytes_.load(std::memory_order_relaxed),
                         std::memory_order_relaxed);
  rare->more_packets.store(usage.packets - packets_.load(std::memory_order_relaxed),
                           std::memory_order_relaxed);
  SetTimes(usage.add_time, usage.use_time);
}

void Lifetime::SetTimes(uint64_t add_time, uint64_t use_time) {
  use_time_.store(use_time, std::memory_order_relaxed);
  add_time_ = add_time;
}

void Lifetime::AddUsage(uint64_t packets, uint64_t bytes, uint64_t at) {
  if (packets == 0 && bytes == 0) return;
  Rare* const rare = MakeRare();
  rare->more_packets.fetch_add(packets, std::memory_order_relaxed);
  rare->more_bytes.fetch_add(bytes, std::memory_order_relaxed);
  last_used_.store(at, std::memory_order_relaxed);
  uint64_t never = 0;
  use_time_.compare_exchange_strong(never, at, std::memory_order_relaxed);
}

Lifetime::ChargeResult Lifetime::ChargeLimited(std::span<const uint32_t> sizes, uint64_t now) {
  ChargeResult result;
  const auto n = static_cast<uint32_t>(sizes.size());
  uint64_t total = 0;
  for (const uint32_t size : sizes) total += size;
  // Charge the whole run first, so that two workers never both use the last packet of a limit; then
  // refund what lies beyond it.
  Rare& limits = *rare_.load(std::memory_order_acquire);
  const uint64_t bytes = bytes_.fetch_add(total, std::memory_order_relaxed) +
                         limits.more_bytes.load(std::memory_order_relaxed);
  const uint64_t packets = packets_.fetch_add(n, std::memory_order_relaxed) +
                           limits.more_packets.load(std::memory_order_relaxed);
  const uint64_t hard_bytes = limits.hard_bytes.load(std::memory_order_relaxed);
  const uint64_t hard_packets = limits.hard_packets.load(std::memory_order_relaxed);
  uint64_t counted = 0;
  while (result.allowed < n && bytes + counted < hard_bytes &&
         packets + result.allowed < hard_packets) {
    counted += sizes[result.allowed++];
  }
  result.hard_hit = result.allowed < n;
  if (result.hard_hit) {
    bytes_.fetch_sub(total - counted, std::memory_order_relaxed);
    packets_.fetch_sub(n - result.allowed, std::memory_order_relaxed);
  }
  if (result.allowed == 0) return result;
  // As in the kernel: tested for each packet that continues, before it is counted. Only the last
  // one matters, because the counts only grow.
  const uint32_t last = result.allowed - 1;
  const bool soft =
      bytes + counted - sizes[last] >= limits.soft_bytes.load(std::memory_order_relaxed) ||
      packets + last >= limits.soft_packets.load(std::memory_order_relaxed);
  // Once it is reported, workers only read the line of the limits.
  result.soft_hit = soft && !limits.soft_signalled.load(std::memory_order_relaxed) &&
                    !limits.soft_signalled.exchange(true, std::memory_order_relaxed);
  NoteUse(now);
  return result;
}

bool Lifetime::LimitsHaveRoomFor(uint64_t more_packets, uint64_t more_bytes) const {
  const Rare& limits = *rare_.load(std::memory_order_acquire);
  const uint64_t then_packets = packets(&limits) + more_packets;
  const uint64_t then_bytes = bytes(&limits) + more_bytes;
  const bool soft = limits.soft_signalled.load(std::memory_order_relaxed) ||
                    (then_bytes < limits.soft_bytes.load(std::memory_order_relaxed) &&
                     then_packets < limits.soft_packets.load(std::memory_order_relaxed));
  return soft && then_bytes < limits.hard_bytes.load(std::memory_order_relaxed) &&
         then_packets < limits.hard_packets.load(std::memory_order_relaxed);
}

LifetimeUsage Lifetime::usage() const {
  const Rare* rare = rare_.load(std::memory_order_acquire);
  return {.bytes = bytes(rare),
          .packets = packets(rare),
          .add_time = add_time_,
          .use_time = use_time_.load(std::memory_order_relaxed)};
}

}  // namespace cygnet
