// The kernel's own XFRM beside Cygnet's: looked at once at the start, listened to from then on.
#include <fmt/format.h>

#include "base/locked_memory.h"
#include "base/log.h"
#include "daemon/cygnetd/runtime.h"

namespace cygnet {
namespace {

constexpr std::string_view kBeside =
    "traffic that the kernel's SAs and policies are meant for is not protected by Cygnet; an IKE "
    "daemon or ip runs without the shim (cygnet exec, or the drop-in of its unit), or is linked "
    "statically. When that has ended: ip xfrm state flush; ip xfrm policy flush";

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

// Listens first: what comes between would be missed.
void Runtime::WatchKernelXfrm() {
  auto watch = xfrm::KernelWatch::Open();
  if (!watch) {
    // A kernel without XFRM cannot be programmed beside Cygnet.
    if (watch.error().code != Errc::kNotSupported) {
      Log(LogLevel::kWarning,
          "who programs the kernel's own IPsec goes unseen: " + watch.error().message);
    }
    return;
  }
  kernel_watch_ = *std::move(watch);
  const Status added =
      poller_->Add(kernel_watch_->fd(), EPOLLIN, [this](uint32_t) { OnKernelXfrm(); });
  if (!added) {
    Log(LogLevel::kWarning,
        "who programs the kernel's own IPsec goes unseen: " + added.error().message);
    kernel_watch_.reset();
  }
  const auto held = xfrm::LookAtKernel();
  if (!held || !held->any()) return;
  const std::string text = HoldingsText(*held);
  Log(LogLevel::kWarning, fmt::format("{}: {}", text, kBeside));
  audit_->Device("kernel-xfrm", "in-use", text);
}

// Said at once, then with a count at most every ten seconds: an IKE daemon with many tunnels makes
// thousands.
void Runtime::OnKernelXfrm() {
  const xfrm::KernelWatch::Changes changes = kernel_watch_->Drain();
  if (changes.count == 0) return;
  kernel_changes_ += changes.count;
  kernel_untold_ += changes.count;
  kernel_last_ = changes.last;
  TellKernelXfrm();
}

void Runtime::TellKernelXfrm() {
  constexpr uint64_t kPauseNs = 10'000'000'000;
  const uint64_t now = clock_.MonotonicNs();
  if (kernel_untold_ == 0 || (kernel_told_ns_ != 0 && now - kernel_told_ns_ < kPauseNs)) return;
  const std::string text = fmt::format(
      "somebody programs the kernel's own IPsec beside Cygnet ({} changes, the last: {})",
      std::exchange(kernel_untold_, 0), kernel_last_);
  kernel_told_ns_ = now;
  Log(LogLevel::kWarning, fmt::format("{}: {}", text, kBeside));
  audit_->Device("kernel-xfrm", "programmed", text);
}

DoctorRow Runtime::CheckKernelXfrm() const {
  const auto held = xfrm::LookAtKernel();
  if (!held) {
    if (held.error().code == Errc::kNotSupported) {
      return Fine("kernel-xfrm", "this kernel has no IPsec of its own");
    }
    return Found("kernel-xfrm", held.error().message,
                 "look yourself: ip xfrm state, ip xfrm policy");
  }
  std::string text = HoldingsText(*held);
  if (kernel_changes_ != 0) {
    text += fmt::format("; {} changes since cygnetd started, the last: {}", kernel_changes_,
                        kernel_last_);
  }
  return held->any() || kernel_changes_ != 0
             ? Found("kernel-xfrm", std::move(text), std::string(kBeside))
             : Fine("kernel-xfrm", "empty, and nobody programs it");
}

std::vector<DoctorRow> Runtime::Doctor() const {
  std::vector<DoctorRow> rows = {CheckKernelXfrm()};
  for (DoctorRow& row : FenceRows()) rows.push_back(std::move(row));
  for (DoctorRow& row : watch_->DoctorRows()) rows.push_back(std::move(row));
  for (DoctorRow& row : control_->CheckHostRoutes()) rows.push_back(std::move(row));
  if (const std::size_t unlocked = UnlockedKeyBytes(); unlocked != 0) {
    rows.push_back(
        Found("key-memory",
              fmt::format("{} KiB of the memory that keys live in could not be locked and "
                          "may reach swap space",
                          unlocked >> 10),
              "raise RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity) and start again"));
  } else {
    rows.push_back(Fine("key-memory", "locked"));
  }
  for (DoctorRow& row : stored_.Examine()) rows.push_back(std::move(row));
  return rows;
}

// A key's worth is taken now, so that what forbids the lock is said at the start.
void Runtime::CheckKeyMemory() {
  static constexpr uint8_t kNoKey[1] = {0};
  const KeyMaterial probe{kNoKey};
  if (UnlockedKeyBytes() != 0) {
    Log(LogLevel::kWarning,
        "the memory that keys live in cannot be locked and may reach swap space: raise "
        "RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity)");
  }
}

}  // namespace cygnet
