// The kernel's own XFRM beside Cygnet's: checked at the start, then followed by its notifications.
#include <fmt/format.h>

#include "base/locked_memory.h"
#include "base/log.h"
#include "daemon/cygnetd/runtime.h"

namespace cygnet {
namespace {

constexpr std::string_view kBeside =
    "Cygnet does not protect the traffic that the kernel's SAs and policies are for; an IKE daemon "
    "or ip runs without the shim, or is linked statically. Start it with cygnet exec or with the "
    "drop-in of its unit, then run: ip xfrm state flush; ip xfrm policy flush";

std::string HoldingsText(const xfrm::KernelHoldings& held) {
  return fmt::format("the kernel's own XFRM holds {} SAs and {} policies", held.sas, held.policies);
}

DoctorRow Found(std::string check, std::string text, std::string advice) {
  return {
      .check = std::move(check), .ok = false, .text = std::move(text), .advice = std::move(advice)};
}

DoctorRow Fine(std::string check, std::string text) {
  return {.check = std::move(check), .ok = true, .text = std::move(text), .advice = {}};
}

}  // namespace

// Listens before it counts: a change in between would be missed.
void Runtime::WatchKernelXfrm() {
  auto watch = xfrm::KernelWatch::Open();
  if (!watch) {
    // Nobody can program a kernel without XFRM.
    if (watch.error().code != Errc::kNotSupported) {
      Log(LogLevel::kWarning,
          "cannot watch the kernel's own IPsec for changes: " + watch.error().message);
    }
    return;
  }
  kernel_watch_ = *std::move(watch);
  const Status added =
      poller_->Add(kernel_watch_->fd(), EPOLLIN, [this](uint32_t) { OnKernelXfrm(); });
  if (!added) {
    Log(LogLevel::kWarning,
        "cannot watch the kernel's own IPsec for changes: " + added.error().message);
    kernel_watch_.reset();
  }
  const auto held = xfrm::LookAtKernel();
  if (!held || !held->any()) return;
  const std::string text = HoldingsText(*held);
  Log(LogLevel::kWarning, fmt::format("{}: {}", text, kBeside));
  audit_->Device("kernel-xfrm", "in-use", text);
}

// Logs the first change at once and later ones with a count, at most every ten seconds: an IKE
// daemon with many tunnels makes thousands.
void Runtime::OnKernelXfrm() {
  const xfrm::KernelWatch::Changes changes = kernel_watch_->Drain();
  if (changes.count == 0) return;
  kernel_changes_ += changes.count;
  kernel_untold_ += changes.count;
  kernel_last_ = changes.last;
  NotifyKernelXfrm();
}

void Runtime::NotifyKernelXfrm() {
  constexpr uint64_t kPauseNs = 10'000'000'000;
  const uint64_t now = clock_.MonotonicNs();
  if (kernel_untold_ == 0 || (kernel_told_ns_ != 0 && now - kernel_told_ns_ < kPauseNs)) return;
  const std::string text = fmt::format(
      "a program changes the kernel's own IPsec beside Cygnet ({} changes, the last: {})",
      std::exchange(kernel_untold_, 0), kernel_last_);
  kernel_told_ns_ = now;
  Log(LogLevel::kWarning, fmt::format("{}: {}", text, kBeside));
  audit_->Device("kernel-xfrm", "programmed", text);
}

DoctorRow Runtime::CheckKernelXfrm() const {
  const auto held = xfrm::LookAtKernel();
  if (!held) {
    if (held.error().code == Errc::kNotSupported) {
      return Fine("kernel-xfrm", "this kernel has no IPsec (XFRM)");
    }
    return Found("kernel-xfrm", held.error().message, "check with: ip xfrm state; ip xfrm policy");
  }
  std::string text = HoldingsText(*held);
  if (kernel_changes_ != 0) {
    text += fmt::format("; {} changes since cygnetd started, the last: {}", kernel_changes_,
                        kernel_last_);
  }
  return held->any() || kernel_changes_ != 0
             ? Found("kernel-xfrm", std::move(text), std::string(kBeside))
             : Fine("kernel-xfrm", "empty, and no program changes it");
}

std::vector<DoctorRow> Runtime::Doctor() const {
  std::vector<DoctorRow> rows = {CheckKernelXfrm()};
  for (DoctorRow& row : FenceRows()) rows.push_back(std::move(row));
  for (DoctorRow& row : watch_->DoctorRows()) rows.push_back(std::move(row));
  for (DoctorRow& row : control_->CheckHostRoutes()) rows.push_back(std::move(row));
  if (const std::size_t unlocked = UnlockedKeyBytes(); unlocked != 0) {
    rows.push_back(
        Found("key-memory",
              fmt::format("{} KiB of key memory could not be locked and may reach swap space",
                          unlocked >> 10),
              "raise RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity) and restart cygnetd"));
  } else {
    rows.push_back(Fine("key-memory", "locked"));
  }
  for (DoctorRow& row : stored_.Examine()) rows.push_back(std::move(row));
  for (DoctorRow& row : CheckCluster()) rows.push_back(std::move(row));
  return rows;
}

// Locks memory for one key now, so that a lock that is not permitted is reported at the start.
void Runtime::CheckKeyMemory() {
  static constexpr uint8_t kNoKey[1] = {0};
  const KeyMaterial probe{kNoKey};
  if (UnlockedKeyBytes() != 0) {
    Log(LogLevel::kWarning,
        "key memory cannot be locked and may reach swap space: raise "
        "RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity)");
  }
}

}  // namespace cygnet
