#include "datapath/shadow/device_shadow.h"

#include <ctime>
#include <utility>

namespace cygnet {
namespace {

// Copies are missing for packets that were in the device when it was told to hand them up.
constexpr uint64_t kBeforeCopiesMs = 1000;

uint64_t WallNs() {
  timespec now{};
  (void)clock_gettime(CLOCK_REALTIME, &now);  // cannot fail
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

void DeviceShadow::Set(uint32_t one_of, bool copies, uint64_t now_ms) {
  const bool all = one_of == 1 && copies;
  const bool before = one_of_.load(std::memory_order_relaxed) == 1 &&
                      copies_all_ms_.load(std::memory_order_relaxed) != ~uint64_t{0};
  if (all != before) {
    copies_all_ms_.store(all ? now_ms + kBeforeCopiesMs : ~uint64_t{0}, std::memory_order_relaxed);
  }
  one_of_.store(one_of, std::memory_order_relaxed);
}

void DeviceShadow::Report(ShadowEvidence evidence) {
  Count(&wrong_, evidence.half);
  {
    const std::lock_guard lock(mutex_);
    if (kept_ < kMaxEvidence) {
      ++kept_;
      evidence.time_ns = WallNs();
      evidence_.push_back(std::move(evidence));
    }
  }
  bell_->Ring();
}

std::vector<ShadowEvidence> DeviceShadow::TakeEvidence() {
  const std::lock_guard lock(mutex_);
  return std::exchange(evidence_, {});
}

void DeviceShadow::ForgetEvidence() {
  const std::lock_guard lock(mutex_);
  kept_ = evidence_.size();
}

ShadowStats DeviceShadow::stats() const {
  ShadowStats stats;
  for (std::size_t half = 0; half < kHalves.size(); ++half) {
    stats.verified[half] = verified_[half].load(std::memory_order_relaxed);
    stats.wrong[half] = wrong_[half].load(std::memory_order_relaxed);
    stats.unverified[half] = unverified_[half].load(std::memory_order_relaxed);
  }
  return stats;
}

}  // namespace cygnet
