// The software NIC's states and faults.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "device/sim_nic/sim_nic.h"

namespace cygnet {
namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr std::size_t kPlayed = 4096;

}  // namespace

Status SimNic::InjectFault(std::string_view fault) {
  const auto parsed = ParseFault(fault);
  if (!parsed) return parsed.error();
  return Play(*parsed, fault, "");
}

std::vector<std::string> SimNic::FaultsPlayed() const {
  const std::lock_guard lock(mutex_);
  return {played_.begin(), played_.end()};
}

Status SimNic::Play(const Fault& fault, std::string_view text, const std::string& from) {
  Status status;
  {
    const std::lock_guard lock(mutex_);
    status = Change(fault);
    if (status) played_.emplace_back(text);
    if (played_.size() > kPlayed) played_.pop_front();
  }
  const std::string what = "sim_nic " + name_ + ": fault " + std::string(text) + from;
  Log(LogLevel::kInfo, status ? what : what + ": " + status.error().message);
  wire_bell_.Ring();  // the thread may sleep longer than a reset takes
  return status;
}

Status SimNic::Change(const Fault& fault) {
  using Kind = Fault::Kind;
  if (conditions_.removed && fault.kind != Kind::kInsert && fault.kind != Kind::kClear) {
    return MakeError(Errc::kNoDevice, "the device is removed; play \"insert\" first");
  }
  if (fault.kind == Fault::Kind::kFailOver && cards_.size() < 2) {
    return MakeError(Errc::kInvalid, "the device is not a bond (profile = \"bond\")");
  }
  ChangeConditions(fault);
  if (fault.kind == Kind::kReset && conditions_.resetting) {
    reset_due_ns_.store(clock_->MonotonicNs() + fault.count * kNsPerMs, std::memory_order_release);
  } else if (!conditions_.resetting) {
    reset_due_ns_.store(FaultScript::kNever, std::memory_order_release);
  }
  ShowState();
  return {};
}

void SimNic::ChangeConditions(const Fault& fault) {
  using Kind = Fault::Kind;
  Conditions& is = conditions_;
  switch (fault.kind) {
    case Kind::kLinkDown:
    case Kind::kLinkUp:
      is.link_down = fault.kind == Kind::kLinkDown;
      break;
    case Kind::kDown:
    case Kind::kUp:
      is.down = fault.kind == Kind::kDown;
      break;
    case Kind::kReset:
      // After a crash nobody knows what the card still has.
      if (is.failed || !cards_[active_]->reset_keeps_sas) Wipe();
      is.failed = false;
      is.resetting = fault.count > 0;
      break;
    case Kind::kRemove:
      Wipe();
      is = {.link_down = is.link_down, .wire_down = is.wire_down, .removed = true};
      break;
    case Kind::kInsert:
      is.removed = false;
      break;
    case Kind::kCrash:
      is.failed = true;
      is.resetting = false;
      break;
    case Kind::kFailOver:
      FailOver();
      break;
    case Kind::kClear:
      if (is.failed) Wipe();
      is = {.wire_down = is.wire_down};
      [[fallthrough]];
    default:
      faults_.Arm(fault);
      if (faults_.Reorders()) reordering_.store(true, std::memory_order_release);
  }
}

// After power loss or a firmware restart, tables and keys are lost.
void SimNic::Wipe() {
  table_.ForEachPacketSa([this](OffloadHandle, SimNicTable::Slot& slot) {
    orphans_.insert(orphans_.end(), slot.packet->kept().begin(), slot.packet->kept().end());
    slot.packet->kept().clear();
  });
  if (!orphans_.empty()) look_at_kept_.store(true, std::memory_order_release);
  table_.Wipe();
  policies_.Wipe();
  grants_.clear();
  releases_.clear();
  releasing_.store(false, std::memory_order_release);
  resets_.fetch_add(1, std::memory_order_release);
}

void SimNic::ShowState() {
  const Conditions& is = conditions_;
  const bool no_link = is.link_down || is.wire_down;
  const DeviceState state = is.removed     ? DeviceState::kRemoved
                            : is.failed    ? DeviceState::kFailed
                            : is.resetting ? DeviceState::kResetting
                            : no_link      ? DeviceState::kLinkDown
                            : is.down      ? DeviceState::kDown
                                           : DeviceState::kUp;
  frames_pass_.store(!is.removed && !no_link, std::memory_order_release);
  state_.store(state, std::memory_order_release);
  RingBell();
}

// The wire may have a link while the card passes no frames.
LinkStatus SimNic::link() const {
  const LinkStatus wire = wire_->link();
  if (frames_pass_.load(std::memory_order_acquire)) return wire;
  if (state() == DeviceState::kRemoved) return LinkStatus::kGone;
  return wire == LinkStatus::kUp ? LinkStatus::kNoCarrier : wire;
}

Status SimNic::Follow(const PortLink& link) {
  const Status status = wire_->Follow(link);
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(conditions_.wire_down, !wire_->link_up()) != conditions_.wire_down) {
      ShowState();
    }
  }
  wire_bell_.Ring();  // the thread may wait on an interface that is gone
  return status;
}

void SimNic::RingBell() {
  if (bell_ != nullptr) bell_->Ring();
}

// --- The thread ---

// Reads the clock only if something is scheduled.
void SimNic::RunTimers() {
  const uint64_t reset_due = reset_due_ns_.load(std::memory_order_acquire);
  const bool script =
      script_next_ms_ != FaultScript::kNever || script_next_packets_ != FaultScript::kNever;
  const uint64_t poll_due = poll_due_ns_.load(std::memory_order_acquire);
  if (!script && reset_due == FaultScript::kNever && poll_due == FaultScript::kNever) return;
  const uint64_t now = clock_->MonotonicNs();
  if (now >= reset_due) FinishReset();
  if (now >= poll_due) PollLimits();
  if (script) PlayScript(now);
}

void SimNic::FinishReset() {
  const std::lock_guard lock(mutex_);
  // Another reset may have started meanwhile.
  if (clock_->MonotonicNs() < reset_due_ns_.load(std::memory_order_acquire)) return;
  conditions_.resetting = false;
  reset_due_ns_.store(FaultScript::kNever, std::memory_order_release);
  ShowState();
}

void SimNic::PlayScript(uint64_t now_ns) {
  if (!started_ns_.has_value()) started_ns_ = now_ns;
  const uint64_t ms = (now_ns - *started_ns_) / kNsPerMs;
  if (ms < script_next_ms_ && packets_ < script_next_packets_) return;
  for (const FaultScript::Due& due : script_.Take(ms, packets_)) {
    (void)Play(due.fault, due.text, " (fault_script, line " + std::to_string(due.line) + ")");
  }
  script_next_ms_ = script_.NextMs();
  script_next_packets_ = script_.NextPackets();
}

// Until the next scheduled event, at most half a second.
int SimNic::SleepMs() const {
  constexpr uint64_t kLongest = 500;
  uint64_t due = std::min(reset_due_ns_.load(std::memory_order_acquire),
                          poll_due_ns_.load(std::memory_order_acquire));
  if (started_ns_.has_value() && script_next_ms_ != FaultScript::kNever) {
    due = std::min(due, *started_ns_ + script_next_ms_ * kNsPerMs);
  }
  if (due == FaultScript::kNever) return kLongest;
  const uint64_t now = clock_->MonotonicNs();
  return due <= now ? 0 : static_cast<int>(std::min((due - now) / kNsPerMs + 1, kLongest));
}

}  // namespace cygnet
