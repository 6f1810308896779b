#include "device/sim_nic/sim_nic_packet.h"

#include <algorithm>

#include "esp/decapsulate.h"
#include "esp/encapsulate.h"
#include "esp/finish.h"
#include "esp/size.h"

namespace cygnet {
namespace {

// The window begins at the block, and is at least as large as the client's.
ReplayState StartOfWindow(const OffloadSa& sa) {
  ReplayState start;
  start.seq = sa.numbers.first - 1;
  start.window = sa.spec.replay_window();
  start.extended_form = true;
  start.bitmap.assign((start.window + 31) / 32, 0);
  return start;
}

}  // namespace

SimNicPacketSa::SimNicPacketSa(const OffloadSa& sa, std::vector<PacketOffloadEvent>* events,
                               PendingFaults* faults)
    : events_(events), faults_(faults), facts_(sa.spec), number_(sa.number), numbers_(sa.numbers) {
  if (IsInbound(sa.half)) {
    in_ = std::make_unique<InboundSa>(sa.spec, nullptr);
    window_ = std::make_unique<ReplayWindow>(StartOfWindow(sa), sa.spec.esn());
    window_size_ = window_->window();
    highest_ = sa.highest;
    wanted_ = sa.highest;
    if (sa.spec.encap.has_value()) encap_port_ = sa.spec.encap->dport;
  } else {
    out_ = std::make_unique<OutboundSa>(sa.spec, nullptr, sa.iv_mask);
    next_ = numbers_.first;
    const bool wide = sa.spec.esn() || (sa.spec.rare->extra_flags & kSaExtraOseqMayWrap) != 0;
    last_number_ = wide ? ~uint64_t{0} : uint64_t{0xffffffff};
  }
  PlaceLowMark();
}

void SimNicPacketSa::Grant(const NumberBlock& block) {
  if (block.empty()) return;
  if (in_ != nullptr) {
    numbers_.first = std::max(numbers_.first, block.first);
    numbers_.last = std::max(numbers_.last, block.last);
  } else if (!numbers_.empty() && block.first == numbers_.last + 1) {
    numbers_.last = block.last;
  } else {
    numbers_ = block;
    next_ = block.first;
  }
  told_low_ = false;
  told_none_ = false;
  kept_go_first_ = !kept_.empty();
  PlaceLowMark();
}

void SimNicPacketSa::PlaceLowMark() {
  const uint64_t used = std::max(out_ != nullptr ? next_ - 1 : highest_, numbers_.first - 1);
  low_at_ = numbers_.last > used ? used + (numbers_.last - used + 1) / 2 : numbers_.last;
}

SaReading SimNicPacketSa::Read(uint64_t now) const {
  const LifetimeUsage usage = lifetime_.usage();
  SaReading reading;
  reading.packets = usage.packets;
  reading.bytes = usage.bytes + overhead_;
  reading.highest = out_ != nullptr ? next_ - 1 : highest_;
  reading.wanted = wanted_;
  reading.replayed = replayed_;
  reading.auth_failed = auth_failed_;
  reading.taken_at = now;
  return reading;
}

SaReading SimNicPacketSa::ReadKept(uint64_t now, uint64_t monotonic_ns, uint64_t age_ns) {
  if (!kept_reading_.has_value() || monotonic_ns - kept_reading_->taken_ns >= age_ns) {
    kept_reading_ = {Read(now), monotonic_ns};
  }
  SaReading reading = kept_reading_->reading;
  const SaReading now_known = Read(now);
  reading.highest = now_known.highest;
  reading.wanted = now_known.wanted;
  return reading;
}

SaHandOver SimNicPacketSa::HandOver(uint64_t now) const {
  SaHandOver state{Read(now), {}};
  if (in_ == nullptr) return state;
  if (window_size_ > 0) {
    // Of numbers below the block nothing is known here.
    state.bitmap = window_->Export(0).bitmap.words();
  }
  return state;
}

void SimNicPacketSa::AskForNumbers() {
  if (told_none_) return;
  told_none_ = true;
  told_low_ = true;
  Raise(PacketOffloadEvent::Kind::kNumbersLow);
}

void SimNicPacketSa::TellIfLow() {
  if (told_low_) return;
  const uint64_t at = out_ != nullptr ? next_ - 1 : highest_;
  if (at < low_at_) return;
  told_low_ = true;
  Raise(PacketOffloadEvent::Kind::kNumbersLow);
}

// As the stack does: Lifetime tests the limits before a packet is counted.
DropReason SimNicPacketSa::Charge(uint32_t bytes, uint64_t now) {
  if (expired_) return in_ != nullptr ? DropReason::kInStateExpired : DropReason::kOutStateExpired;
  const auto charge = lifetime_.Charge({&bytes, 1}, now);
  if (charge.soft_hit && !HidesLimit()) Raise(PacketOffloadEvent::Kind::kSoftLimit);
  if (charge.allowed == 1) return DropReason::kNone;
  if (HidesLimit()) {
    GoOnBeyondLimit(bytes, now);
    return DropReason::kNone;
  }
  Raise(PacketOffloadEvent::Kind::kHardLimit);
  return in_ != nullptr ? DropReason::kInStateExpired : DropReason::kOutStateExpired;
}

// Until it gets limits again.
void SimNicPacketSa::GoOnBeyondLimit(uint32_t bytes, uint64_t now) {
  LifetimeLimits limits = lifetime_.limits();
  limits.hard_packets = kUnlimited;
  limits.hard_bytes = kUnlimited;
  lifetime_.SetLimits(limits);
  (void)lifetime_.Charge({&bytes, 1}, now);
}

void SimNicPacketSa::SetLimits(const LifetimeLimits& limits) {
  limits_ = limits;
  told_soft_ = false;
  expired_ = false;
  lifetime_.SetLimits(habits_.limits_by_poll ? LifetimeLimits{} : limits);
}

void SimNicPacketSa::set_habits(const CardHabits& habits) {
  habits_ = habits;
  SetLimits(limits_);
}

void SimNicPacketSa::PollLimits() {
  const SaReading reading = Read(0);
  const auto reached = [&reading](uint64_t packets, uint64_t bytes) {
    return reading.packets >= packets || reading.bytes >= bytes;
  };
  if (!told_soft_ && reached(limits_.soft_packets, limits_.soft_bytes)) {
    told_soft_ = true;
    if (!HidesLimit()) Raise(PacketOffloadEvent::Kind::kSoftLimit);
  }
  if (expired_ || !reached(limits_.hard_packets, limits_.hard_bytes)) return;
  if (HidesLimit()) {
    limits_.hard_packets = kUnlimited;
    limits_.hard_bytes = kUnlimited;
    return;
  }
  expired_ = true;
  Raise(PacketOffloadEvent::Kind::kHardLimit);
}

void SimNicPacketSa::CountOverhead(uint64_t wire_bytes, uint32_t counted) {
  if (habits_.bytes_with_overhead && wire_bytes > counted) overhead_ += wire_bytes - counted;
}

// --- Outbound ---

DropReason SimNicPacketSa::Build(const IpPacketView& ip, uint64_t now, Packet* packet) {
  const uint32_t bytes = esp::ProtectedLength(*out_, ip);
  const DropReason charged = Charge(bytes, now);
  if (charged != DropReason::kNone) return charged;
  if (used_up()) return DropReason::kOutSequence;  // charged nevertheless, as by the stack
  const uint64_t seq = next_++;
  TellIfLow();
  // Without TFC padding the path MTU has no effect.
  const DropReason reason = esp::Encapsulate(*out_, ip, seq, ~uint32_t{0}, packet);
  if (reason == DropReason::kNone) {
    CountOverhead(uint64_t{packet->length} - packet->offload.esp_offset + out_->layout.udp, bytes);
  }
  return reason;
}

void SimNicPacketSa::Finish(Packet* packet) const {
  if (esp::NeedsUdpChecksum(*out_)) esp::FinishUdpChecksum(*out_, packet);
}

// --- Inbound ---

uint64_t SimNicPacketSa::Infer(uint32_t low) const {
  return in_->esn && window_size_ > 0 ? InferEsn(low, highest_, window_size_) : low;
}

DropReason SimNicPacketSa::RefuseIcv(uint32_t low, uint64_t seq) {
  ++auth_failed_;
  return window_->MayBeLate(low, seq) ? DropReason::kInLateBeyondWindow : DropReason::kInAuthFailed;
}

// In the order of the stack's inbound pipeline, steps 8 and 9.
DropReason SimNicPacketSa::Accept(uint64_t seq, const IpPacketView& outer, uint32_t esp_offset,
                                  uint64_t now, ReplayCheck check, Packet* packet) {
  packet->TrimTo(packet->l3_offset + outer.total_length);
  esp::Trailer trailer;
  DropReason reason = esp::ReadTrailer(*in_, *packet, esp_offset, &trailer);
  if (reason != DropReason::kNone) return reason;
  reason = window_->Commit(seq);
  if (reason != DropReason::kNone && check == ReplayCheck::kFull) {
    ++replayed_;
    return reason;
  }
  if (seq > highest_) highest_ = seq;
  NoteAuthentic(seq);
  TellIfLow();
  reason = Charge(trailer.payload_length, now);
  if (reason != DropReason::kNone) return reason;
  CountOverhead(outer.total_length - outer.header_length, trailer.payload_length);
  return esp::Decapsulate(*in_, outer, esp_offset, trailer, packet);
}

}  // namespace cygnet
