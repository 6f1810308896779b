// The software NIC as an offload device: the calls of control and workers.
#include <utility>

#include "device/sim_nic/sim_nic.h"

namespace cygnet {

void SimNic::SetBell(Doorbell* bell) {
  const std::lock_guard lock(mutex_);  // so that the old bell is not rung after this
  bell_ = bell;
}

std::optional<DeviceRefusal> SimNic::InstallSa(const OffloadSa& sa, OffloadHandle* handle) {
  const uint64_t now = clock_->WallSeconds();
  std::optional<DeviceRefusal> refusal;
  TakeTimeToAdd();
  const std::lock_guard lock(mutex_);
  if (!offload_up()) {
    refusal = DeviceRefusal{InstallError::kDeviceDown, Errc::kNotSupported,
                            "offload unit is " + std::string(Name(state()))};
  } else {
    refusal = faults_.NextAdd();
  }
  const CardRequest request = RequestFor(sa.spec, sa.half, sa.mode);
  // What the firmware of a card with queued adds says comes too late for the client.
  std::optional<DeviceRefusal> too_late;
  if (offload_up() && cards_[active_]->adds_are_queued)
    too_late = std::exchange(refusal, std::nullopt);
  if (!refusal.has_value()) refusal = CardRefusal(request);
  if (refusal.has_value()) {
    table_.NoteRefused(sa, now);
  } else {
    refusal = table_.Add(sa, now, handle);
    if (!refusal.has_value()) NoteTruth(request, too_late, *handle);
  }
  if (refusal.has_value()) refusals_.fetch_add(1, std::memory_order_relaxed);
  return refusal;
}

void SimNic::StartSa(OffloadHandle handle) {
  const std::lock_guard lock(mutex_);
  table_.Start(handle);
}

void SimNic::StopSa(OffloadHandle handle) {
  {
    const std::lock_guard lock(mutex_);
    table_.Stop(handle);
    if (keeping_.empty()) return;
    LookAtKept();
  }
  wire_bell_.Ring();
}

// No worker will use the handle again, but packets handed over before may still be in the rings.
// They are charged and numbered, and leave sealed. The slot is freed when they have passed.
void SimNic::ReleaseSa(OffloadHandle handle) {
  const std::lock_guard lock(mutex_);
  if (conditions_.failed) return;  // it cannot erase the key now; the reset will
  PendingRelease release{handle, Given()};
  const SimNicTable::Slot* slot = table_.Find(handle);
  const bool keeps = slot != nullptr && slot->packet != nullptr && !slot->packet->kept().empty();
  if (Passed(release.given) && !keeps) {
    table_.Release(handle);
    RingBell();
    return;
  }
  releases_.push_back(std::move(release));
  releasing_.store(true, std::memory_order_release);
}

std::vector<OffloadHandle> SimNic::TakeErased() {
  const std::lock_guard lock(mutex_);
  return table_.TakeErased();
}

std::vector<uint64_t> SimNic::Given() const {
  std::vector<uint64_t> given;
  for (const auto& queue : progress_) {
    given.push_back(queue->given.load(std::memory_order_acquire));
  }
  return given;
}

bool SimNic::Passed(const std::vector<uint64_t>& given) const {
  for (std::size_t q = 0; q < given.size(); ++q) {
    if (progress_[q]->done.load(std::memory_order_acquire) < given[q]) return false;
  }
  return true;
}

void SimNic::FinishReleases() {
  const std::lock_guard lock(mutex_);
  if (conditions_.failed) return;
  const std::size_t released = std::erase_if(releases_, [this](const PendingRelease& release) {
    if (!Passed(release.given)) return false;
    SimNicTable::Slot* slot = table_.Find(release.handle);
    if (slot != nullptr && slot->packet != nullptr && !slot->packet->kept().empty()) return false;
    table_.Release(release.handle);
    return true;
  });
  if (released > 0) RingBell();
  releasing_.store(!releases_.empty(), std::memory_order_release);
}

OffloadStats SimNic::offload_stats() const {
  OffloadStats s;
  {
    const std::lock_guard lock(mutex_);
    s.slots_used = table_.used();
    s.slots_high_water = table_.high_water();
    s.slots_limit = table_.limit() * (profile_.limits.shared ? 1 : 2);
    s.outbound_used = table_.used(Half::kOutbound);
    s.inbound_used = table_.used(Half::kInbound);
    s.direction_limit = table_.limit();
    s.addresses_used = table_.addresses_used();
    s.addresses_high_water = table_.addresses_high_water();
    s.addresses_limit = table_.addresses_limit();
  }
  s.sealed = sealed_.load(std::memory_order_relaxed);
  s.opened = opened_.load(std::memory_order_relaxed);
  s.auth_failed = auth_failed_.load(std::memory_order_relaxed);
  s.passed_unknown = passed_unknown_.load(std::memory_order_relaxed);
  s.refusals = refusals_.load(std::memory_order_relaxed);
  s.dropped_stale = dropped_stale_.load(std::memory_order_relaxed);
  s.returned = returned_.load(std::memory_order_relaxed);
  s.resets = resets();
  return s;
}

std::vector<SaId> SimNic::HeldSas() const {
  const std::lock_guard lock(mutex_);
  return table_.Held();
}

std::vector<KeyLogEntry> SimNic::KeyLog() const {
  const std::lock_guard lock(mutex_);
  return table_.KeyLog();
}

void SimNic::AdvanceEsn(OffloadHandle handle, uint64_t highest) {
  const std::lock_guard lock(mutex_);
  SimNicTable::Slot* slot = table_.Find(handle);
  if (slot != nullptr && highest > slot->highest) slot->highest = highest;
}

void SimNic::FilterEligible(std::span<Packet* const> packets, std::span<bool> eligible) {
  const bool up = offload_up();
  for (std::size_t i = 0; i < packets.size(); ++i) {
    // As cards do: IPv4 without options, IPv6 without extension headers.
    const Packet& packet = *packets[i];
    const uint32_t header = packet.offload.esp_offset - uint32_t{packet.l3_offset};
    eligible[i] = up && (packet.l3()[0] >> 4 == 4 ? header == 20 : header == 40);
  }
}

}  // namespace cygnet
