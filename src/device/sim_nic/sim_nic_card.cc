// The software NIC as the card of its profile: what it refuses, what it claims and does not do, and
// how its driver shows its SAs.
#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "base/log.h"
#include "device/sim_nic/sim_nic.h"

namespace cygnet {
namespace {

std::string Hex32(uint32_t value) {
  std::array<char, 11> text{};
  std::snprintf(text.data(), text.size(), "0x%08x", value);
  return text.data();
}

// The lines of netdevsim's debugfs file "ipsec". The kernel shows salt and key; Cygnet shows none.
std::string NetdevsimView(const SimNicTable::Slot& slot, uint32_t number) {
  const std::string sa = "sa[" + std::to_string(number) + "]";
  return sa + (IsInbound(slot.half) ? " rx" : " tx") +
         " ipaddr=" + ToString(slot.id.daddr, slot.id.family) + "\n" + sa +
         "    spi=" + Hex32(slot.id.spi.value) + " proto=0x" + Hex32(slot.id.proto).substr(8) +
         " salt=(not shown) crypt=1\n" + sa + "    key=(not shown)\n";
}

std::string HandleView(const SimNicTable::Slot& slot, uint32_t handle) {
  return std::string(IsInbound(slot.half) ? "rx" : "tx") + " handle=" + Hex32(handle) +
         " spi=" + Hex32(slot.id.spi.value) + " dst=" + ToString(slot.id.daddr, slot.id.family) +
         (slot.held ? "\n" : " (not held)\n");
}

template <typename T>
void AddMissing(const std::vector<T>& from, std::vector<T>* to) {
  for (const T& value : from) {
    if (std::find(to->begin(), to->end(), value) == to->end()) to->push_back(value);
  }
}

OffloadCaps UnionOf(OffloadCaps a, const OffloadCaps& b) {
  for (const auto member :
       {&OffloadCaps::crypto_offload, &OffloadCaps::packet_offload, &OffloadCaps::inbound,
        &OffloadCaps::outbound, &OffloadCaps::transport, &OffloadCaps::tunnel, &OffloadCaps::beet,
        &OffloadCaps::ipv4, &OffloadCaps::ipv6, &OffloadCaps::esn, &OffloadCaps::udp_encap,
        &OffloadCaps::packet_udp_encap, &OffloadCaps::inner_checksum, &OffloadCaps::segmentation}) {
    a.*member = a.*member || b.*member;
  }
  AddMissing(b.algorithms, &a.algorithms);
  AddMissing(b.key_bytes, &a.key_bytes);
  AddMissing(b.icv_bytes, &a.icv_bytes);
  a.max_replay_window = std::max(a.max_replay_window, b.max_replay_window);
  return a;
}

}  // namespace

std::vector<const CardProfile*> CardsOf(const CardProfile& profile,
                                        const std::vector<std::string>& bond_cards) {
  if (profile.name != "bond") return {&profile};
  std::vector<const CardProfile*> cards;
  for (const std::string& name : bond_cards) cards.push_back(&CardProfileNamed(name));
  if (cards.size() == 1) cards.push_back(cards[0]);
  return cards;
}

OffloadCaps CapsOf(const CardProfile& profile, const std::vector<const CardProfile*>& cards) {
  OffloadCaps caps = cards[0]->caps;
  for (const CardProfile* card : cards) caps = UnionOf(caps, card->caps);
  caps.driver = profile.module;
  return caps;
}

// --- Refusals ---

CardRequest SimNic::RequestFor(const SaSpec& spec, Half half, OffloadMode mode) const {
  CardRequest request = RequestOf(spec, half, mode);
  request.conditions = card_conditions_;
  const CardLimits& limits = cards_[active_]->limits;
  const uint32_t used = limits.shared ? table_.used() : table_.used(half);
  request.slot_free = table_.HasSlot(half) && used < CardSlots();
  request.address_free = table_.HasAddress(spec, half);
  return request;
}

// The configuration may give a card another limit than its profile; the cards of a bond have their
// own.
uint32_t SimNic::CardSlots() const {
  return cards_.size() > 1 ? cards_[active_]->limits.slots : table_.limit();
}

std::optional<DeviceRefusal> SimNic::CardRefusal(const CardRequest& request) const {
  auto refusal = profile_.Refuse(request);
  if (refusal.has_value() || cards_[active_] == &profile_) return refusal;
  return cards_[active_]->Refuse(request);
}

std::optional<DeviceRefusal> SimNic::OwnRefusal(const SaSpec& spec, Half half,
                                                OffloadMode mode) const {
  const std::lock_guard lock(mutex_);
  return CardRefusal(RequestFor(spec, half, mode));
}

// --- The truth ---

void SimNic::NoteTruth(const CardRequest& request, const std::optional<DeviceRefusal>& firmware,
                       OffloadHandle handle) {
  SimNicTable::Slot* slot = table_.Find(handle);
  slot->request = request;
  const bool refuses =
      (request.conditions & static_cast<uint32_t>(CardCondition::kFirmwareRefuses)) != 0;
  if (cards_[active_]->adds_are_queued && (firmware.has_value() || refuses)) {
    table_.Lose(handle);
    NoteFinding(handle, ClaimGap::kNotHeld,
                "the firmware refused the SA after the driver had said that it took it" +
                    (firmware.has_value() ? ": " + firmware->text : ""));
  }
  TakeHabits(request, handle);
  if (const CardLie* lie = cards_[active_]->LieAbout(request)) {
    slot->matches = slot->matches && lie->gap != ClaimGap::kNotUsed;
    NoteFinding(handle, lie->gap, std::string(lie->text));
  }
}

// How the active card does packet offload.
void SimNic::TakeHabits(const CardRequest& request, OffloadHandle handle) {
  SimNicTable::Slot* slot = table_.Find(handle);
  if (slot == nullptr || slot->packet == nullptr) return;
  const CardProfile& card = *cards_[active_];
  const CardLie* lie = card.LieAbout(request);
  slot->packet->set_habits(
      {.limits_by_poll = card.limit_poll_ms != 0,
       .bytes_with_overhead = card.bytes_with_overhead,
       .no_replay_check = lie != nullptr && lie->gap == ClaimGap::kNoReplayCheck});
  if (card.limit_poll_ms == 0 || poll_due_ns_.load() != FaultScript::kNever) return;
  poll_due_ns_.store(clock_->MonotonicNs() + card.limit_poll_ms * uint64_t{1'000'000});
  wire_bell_.Ring();  // the thread may sleep longer
}

// The card's software compares the counters with the limits, as long as it has SAs.
void SimNic::PollLimits() {
  const std::lock_guard lock(mutex_);
  const uint32_t pause = cards_[active_]->limit_poll_ms;
  bool any = false;
  table_.ForEachPacketSa([&](OffloadHandle, SimNicTable::Slot& slot) {
    any = true;
    if (slot.packet->habits().limits_by_poll && !slot.stopped) slot.packet->PollLimits();
  });
  poll_due_ns_.store(any && pause != 0 ? clock_->MonotonicNs() + pause * uint64_t{1'000'000}
                                       : FaultScript::kNever);
  if (table_.HasEvents()) RingBell();
}

void SimNic::NoteFinding(OffloadHandle handle, ClaimGap gap, std::string text) {
  findings_.push_back({handle, gap, std::move(text)});
  // The others change nothing; they wait for control's next turn.
  if (gap == ClaimGap::kNotHeld) RingBell();
}

std::vector<SaFinding> SimNic::TakeFindings() {
  const std::lock_guard lock(mutex_);
  return std::exchange(findings_, {});
}

// As bond_main.c: every SA is deleted from the card that was active and added to the other one. An
// add that fails is a warning in the log, and nobody else hears of it.
void SimNic::FailOver() {
  active_ = (active_ + 1) % cards_.size();
  const CardProfile& card = *cards_[active_];
  std::array<uint32_t, 2> added{};
  table_.ForEach([&](OffloadHandle handle, uint32_t, const SimNicTable::Slot& slot) {
    if (!slot.held) return;
    CardRequest request = slot.request;
    const uint32_t used = card.limits.shared ? added[0] + added[1] : added[IndexOf(slot.half)];
    request.slot_free = used < card.limits.slots;
    const auto refusal = card.Refuse(request);
    if (!refusal.has_value()) {
      ++added[IndexOf(slot.half)];
      TakeHabits(request, handle);
      return;
    }
    Log(LogLevel::kWarning, "sim_nic " + name_ + ": (slave " + std::string(card.name) +
                                "): failed to add SA " + Hex32(slot.id.spi.value) + ": " +
                                refusal->text);
    table_.Lose(handle);
    NoteFinding(
        handle, ClaimGap::kNotHeld,
        "after the failover the card " + std::string(card.name) + " refused it: " + refusal->text);
  });
}

// --- What the driver shows ---

std::vector<DeviceStatistic> SimNic::Statistics() const {
  // mlx5_core has the statistics of the parts that the card has.
  if ((card_conditions_ & static_cast<uint32_t>(CardCondition::kNoIpsec)) != 0) return {};
  const std::lock_guard lock(mutex_);
  return StatisticsOf(profile_.statistics, counts_);
}

std::string SimNic::DriverView() const {
  const std::lock_guard lock(mutex_);
  if (profile_.module.empty()) return {};
  const bool netdevsim = profile_.name == "netdevsim";
  std::string lines;
  uint32_t number = 0;
  table_.ForEach([&](OffloadHandle, uint32_t slot_number, const SimNicTable::Slot& slot) {
    lines += netdevsim ? NetdevsimView(slot, number++)
                       : HandleView(slot, cards_[active_]->HandleOf(slot.half, slot_number));
  });
  if (!netdevsim) return lines;
  return "SA count=" + std::to_string(table_.used()) +
         " tx=" + std::to_string(sealed_.load(std::memory_order_relaxed)) + "\n" + lines;
}

}  // namespace cygnet
