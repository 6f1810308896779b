// The part of PacketHalves for counters, limits and events.
#include <algorithm>
#include <string>

#include "base/log.h"
#include "control/placement/packet_halves.h"

namespace cygnet {
namespace {

// The device did not stop at a hard limit.
std::string LateText(const OffloadDevice& device, const SaSpec& spec, const LifetimeLimits& limits,
                     const LifetimeUsage& usage) {
  const bool packets = usage.packets > limits.hard_packets;
  const uint64_t limit = packets ? limits.hard_packets : limits.hard_bytes;
  const uint64_t beyond = (packets ? usage.packets : usage.bytes) - limit;
  const char* unit = packets ? " packets" : " bytes";
  return "device " + std::string(device.device_name()) + ": did not stop the SA " + Describe(spec) +
         " at its hard limit of " + std::to_string(limit) + unit + "; the daemon ends it " +
         std::to_string(beyond) + unit + " later";
}

uint64_t Rest(uint64_t limit, uint64_t used) {
  if (limit == kUnlimited) return kUnlimited;
  return limit > used ? limit - used : 0;
}

}  // namespace

// Adds what was counted since the last reading.
void PacketHalves::Absorb(Row* row, const SaReading& reading) {
  const SaReading& before = row->counted;
  if (reading.packets >= before.packets && reading.bytes >= before.bytes) {
    row->sa->lifetime().AddUsage(reading.packets - before.packets, reading.bytes - before.bytes,
                                 clock_.WallSeconds());
  }
  if (reading.replayed > before.replayed) {
    row->sa->CountDrop(DropReason::kInReplayDuplicate, reading.replayed - before.replayed);
  }
  if (reading.auth_failed > before.auth_failed) {
    row->sa->CountDrop(DropReason::kInAuthFailed, reading.auth_failed - before.auth_failed);
  }
  row->counted = reading;
}

// The device counts from 0; the rest was counted before, or elsewhere.
void PacketHalves::SetLimits(const Row& row) const {
  const LifetimeUsage usage = row.sa->lifetime().usage();
  const uint64_t packets = usage.packets - std::min(usage.packets, row.counted.packets);
  const uint64_t bytes = usage.bytes - std::min(usage.bytes, row.counted.bytes);
  LifetimeLimits limits = row.sa->lifetime().limits();
  limits.soft_packets = Rest(limits.soft_packets, packets);
  limits.hard_packets = Rest(limits.hard_packets, packets);
  limits.soft_bytes = Rest(limits.soft_bytes, bytes);
  limits.hard_bytes = Rest(limits.hard_bytes, bytes);
  row.offload().SetLimits(row.handle, limits);
}

void PacketHalves::Report(DataPathEvent::Kind kind, const Row& row) const {
  if (report_) report_({.kind = kind, .sa_number = row.sa->number});
}

// Does not rely on the device to raise its events.
void PacketHalves::CheckLimits(const Row& row) {
  const LifetimeLimits limits = row.sa->lifetime().limits();
  const LifetimeUsage usage = row.sa->lifetime().usage();
  if (usage.packets > limits.hard_packets || usage.bytes > limits.hard_bytes) {
    Log(LogLevel::kWarning, LateText(*row.device, row.sa->spec(), limits, usage));
    Report(DataPathEvent::Kind::kHardLimit, row);
  } else if (row.sa->state() == SaState::kValid &&
             (usage.packets > limits.soft_packets || usage.bytes > limits.soft_bytes)) {
    Report(DataPathEvent::Kind::kSoftLimit, row);
  }
}

void PacketHalves::TakeEvents(OffloadDevice* device) {
  PacketOffload* offload = device->packet_offload();
  if (offload == nullptr) return;
  for (const PacketOffloadEvent& event : offload->TakeEvents()) {
    const auto key = by_handle_.find({device, event.handle.value});
    if (key == by_handle_.end()) continue;
    Row& row = rows_.at(key->second);
    if (event.kind == PacketOffloadEvent::Kind::kNumbersLow) {
      row.asked = true;
      Extend(&row);
      continue;
    }
    if (const auto reading = offload->Read(row.handle)) Absorb(&row, *reading);
    Report(event.kind == PacketOffloadEvent::Kind::kHardLimit ? DataPathEvent::Kind::kHardLimit
                                                              : DataPathEvent::Kind::kSoftLimit,
           row);  // may remove the SA, and the row with it
  }
}

void PacketHalves::Tick() {
  constexpr int kVisits = 4096;  // a turn of the control plane's loop is bounded
  for (int i = 0; i < kVisits; ++i) {
    const auto it = tick_at_.has_value() ? rows_.upper_bound(*tick_at_) : rows_.begin();
    if (it == rows_.end()) {
      tick_at_.reset();
      return;
    }
    tick_at_ = it->first;
    const auto reading = it->second.offload().Read(it->second.handle);
    if (!reading.has_value()) continue;
    Absorb(&it->second, *reading);
    const Row& row = it->second;
    if (row.asked || Ahead(row, *reading) < row.step / 2) Extend(&it->second);
    CheckLimits(it->second);  // may remove the SA
  }
}

void PacketHalves::Refresh(const Sa& sa) {
  for (const Half half : kHalves) {
    Row* row = Find(sa, half);
    if (row == nullptr) continue;
    if (const auto reading = row->offload().Read(row->handle)) Absorb(row, *reading);
  }
}

void PacketHalves::ApplyLimits(const Sa& sa) {
  Refresh(sa);
  for (const Half half : kHalves) {
    if (const Row* row = Find(sa, half)) SetLimits(*row);
  }
}

uint64_t PacketHalves::Highest(const Sa& sa) {
  const uint64_t own = sa.inbound()->replay.highest();
  const Row* row = Find(sa, Half::kInbound);
  if (row == nullptr) return own;
  Refresh(sa);
  return std::max(own, row->counted.highest);
}

std::optional<uint64_t> PacketHalves::CountersTakenAt(const Sa& sa, Half half) const {
  const auto it = rows_.find(KeyOf(sa, half));
  if (it == rows_.end() || it->second.counted.taken_at == 0) return std::nullopt;
  return it->second.counted.taken_at;
}

void PacketHalves::Show(const Sa& sa, ReplayState* replay) const {
  if (const auto out = rows_.find(KeyOf(sa, Half::kOutbound)); out != rows_.end()) {
    const Row& row = out->second;
    if (!row.block.empty()) replay->oseq = std::max(row.counted.highest, row.block.first - 1);
  }
  if (const auto in = rows_.find(KeyOf(sa, Half::kInbound)); in != rows_.end()) {
    replay->seq = std::max(replay->seq, in->second.counted.highest);
  }
}

}  // namespace cygnet
