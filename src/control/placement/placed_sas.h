// PlacedSas: where each half of each SA runs, and why. Places new SAs, moves halves, and releases
// places. Control thread.
//
// A move publishes a new binding by one pointer store. Packets handed over under the old binding
// finish under it. Sequence numbers and IVs always come from the stack, so no packet is lost, and
// no number or IV is used twice.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/huge_memory.h"
#include "base/numbered_map.h"
#include "base/rare_text.h"
#include "control/ledger.h"
#include "control/placement/devices.h"
#include "control/placement/keys.h"
#include "control/placement/packet_halves.h"
#include "control/placement/report.h"
#include "control/placement/rules.h"
#include "control/placement/tunnel_slots.h"
#include "datapath/bind_half.h"
#include "datapath/data_path.h"
#include "device/device_extras.h"

namespace cygnet {

inline bool HasHalf(const Sa& sa, Half half) {
  return IsInbound(half) ? sa.inbound() != nullptr : sa.outbound() != nullptr;
}

// One half of an SA: the binding that workers read, and the control plane's own state for it.
struct PlacedHalf : FromSlab<PlacedHalf> {
  static constexpr std::size_t kMaxHistory = 16;

  std::unique_ptr<const SaBinding> binding;  // nullptr: the SA has no such half
  PlacementRequest request;                  // what was requested for it
  uint32_t since = 0;                        // wall-clock seconds, to the year 2106
  ReasonCode reason_code = ReasonCode::kNotRequested;
  // Set: it moves to a device as soon as that has room, with this reason (kReturned, kPromoted).
  std::optional<ReasonCode> due;

  // What few halves have: those that moved, whose reason has a detail, or whose device does less
  // than it claimed.
  struct Rare {
    RareText detail;                      // of the reason
    std::vector<PlacementEntry> history;  // earlier places, oldest first
    // What its device really does for it, if less than it claimed: "not-used: …"; empty: as
    // claimed.
    RareText really;
    // Why the CPU does not verify its device's packets, although it should; empty: it does, or need
    // not.
    RareText not_verified;
    // The device that accepted it and turned out not to hold it, and why.
    const OffloadDevice* lost_by = nullptr;
    RareText lost_why;
  };
  const Rare& rare() const {
    static const Rare nothing;
    return more_ != nullptr && more_->rare != nullptr ? *more_->rare : nothing;
  }
  Rare* MakeRare() {
    std::unique_ptr<Rare>& rare = MakeMore()->rare;
    if (rare == nullptr) rare = std::make_unique<Rare>();
    return rare.get();
  }
  void SetNotVerified(std::string why) {
    if (why != rare().not_verified.str()) MakeRare()->not_verified = std::move(why);
  }
  // Why it runs there.
  PlacementReason reason() const { return {reason_code, rare().detail}; }
  void SetReason(PlacementReason reason) {
    reason_code = reason.code;
    if (!(reason.detail == rare().detail)) MakeRare()->detail = std::move(reason.detail);
  }

  bool IsOn(const OffloadDevice* device) const {
    return binding != nullptr && binding->device() == device;
  }
  // True if it requests a device and is not on one.
  bool IsAway() const {
    return binding != nullptr && !binding->on_device() && request.mode != PlacementMode::kNo;
  }
  // True if the device satisfies the request.
  bool Wants(int32_t ifindex) const { return request.ifindex == 0 || request.ifindex == ifindex; }

 private:
  friend class PlacedSa;
  // One pointer for what few have.
  struct More : FromSlab<More> {
    std::unique_ptr<Rare> rare;
    std::unique_ptr<PlacedHalf> second;  // the SA's inbound half, if this is its outbound one
  };
  More* MakeMore() {
    if (more_ == nullptr) more_ = std::make_unique<More>();
    return more_.get();
  }
  PlacedHalf* second() const { return more_ != nullptr ? more_->second.get() : nullptr; }
  std::unique_ptr<More> more_;
};
static_assert(sizeof(PlacedHalf) == 32);

// Most SAs have one half, which is in the row.
class PlacedSa {
 public:
  PlacedSa() = default;
  explicit PlacedSa(SaPtr of) : sa(std::move(of)) {}
  SaPtr sa;

  bool has(Half h) const { return half(h).binding != nullptr; }
  // REQUIRES: the SA has such a half, and of two halves the outbound one comes first.
  PlacedHalf& Make(Half h) {
    if (IsSecond(h)) first_.MakeMore()->second = std::make_unique<PlacedHalf>();
    return made(h);
  }
  // To change it. REQUIRES: it was made.
  PlacedHalf& made(Half h) { return IsSecond(h) ? *first_.second() : first_; }
  // To read it: one without a binding if it has none.
  const PlacedHalf& half(Half h) const {
    static const PlacedHalf none;
    const PlacedHalf* const row = IsSecond(h) ? first_.second() : &first_;
    return row != nullptr && HasHalf(*sa, h) ? *row : none;
  }

 private:
  bool IsSecond(Half h) const { return IsInbound(h) && sa->outbound() != nullptr; }
  PlacedHalf first_;
};
static_assert(sizeof(PlacedSa) == 40);

// True for a reason that ends when the device is back.
bool IsAwayReason(ReasonCode code);

// The device or engine at work; empty when blocked.
std::string WhereOf(const SaBinding& binding, const EngineSet& engines);

struct PlacedSasParams {
  DataPath* path = nullptr;
  const Clock* clock = nullptr;
  LookAsideMode look_aside = LookAsideMode::kNo;
  std::shared_ptr<Ledger> ledger;
  std::shared_ptr<PlacementKeys> keys;
  const PlacementGate* gate = nullptr;  // nullptr: every algorithm is allowed
  PlacementHost host;
  const PlacementDevices* devices = nullptr;
  const PlacementRules* rules = nullptr;
  Numbers* numbers = nullptr;
  // The outbound half of an SA is about to move into packet offload on the device of this number.
  std::function<void(const SaPtr&, std::size_t device)> on_entering = {};
  std::function<void(const SaPtr&)> on_moved = {};
  std::function<void(const DataPathEvent&)> report = {};  // of devices in packet offload
};

class PlacedSas {
 public:
  explicit PlacedSas(PlacedSasParams params)
      : p_(std::move(params)),
        path_(*p_.path),
        packets_(std::make_unique<PacketHalves>(
            p_.path, p_.clock, p_.report,
            [devices = p_.devices](const OffloadDevice& device) {
              return devices->lied(devices->NumberOf(&device));
            },
            p_.numbers)) {}

  // Chooses a place for every half of the SA, hands out its keys and publishes the bindings. On an
  // error nothing is kept. REQUIRES: the SA has its number.
  Status Place(const SaPtr& sa);
  // Releases all places of the SA. No effect for an SA without any.
  void Remove(uint64_t sa_number);
  // nullptr: larval or removed.
  const PlacedSa* Find(uint64_t sa_number) const;
  const NumberedMap<PlacedSa>& all() const { return placed_; }
  NumberedMap<PlacedSa>& all() { return placed_; }

  // False: it stays where it is. Its request may have changed nevertheless.
  bool Move(PlacedSa* placed, Half half, std::span<const PlacementDevice> devices,
            ReasonCode success, PlacementCause cause = PlacementCause::kMove);
  // Gives the halves anew to a device that builds their outer headers, or matches them.
  void Renew(uint64_t sa_number);
  using Filter = std::function<bool(const PlacedSa&, const PlacedHalf&)>;
  // Moves each half that the filter accepts, in the order in which the SAs were added: if two want
  // one slot, the older gets it.
  MoveReport MoveEach(const Filter& which, ReasonCode success);

  // Records what the device really does with halves that it accepted. True: it does not hold some
  // of them; they must move.
  bool RecordFindings(const OffloadDevice* device, std::span<const SaFinding> findings);
  PacketHalves& packets() const { return *packets_; }

  void SetDue(PlacedHalf* half, std::optional<ReasonCode> due);
  bool AnyIsDue() const { return due_ != 0; }
  void NotifyMoved(const SaPtr& sa) const {
    if (p_.on_moved) p_.on_moved(sa);
  }

 private:
  uint64_t Now() const { return p_.clock->WallSeconds(); }
  BindInputs InputsFor(const SaSpec& spec, Half half,
                       std::span<const PlacementDevice> devices) const;
  void AddPacketInputs(const SaPtr& sa, Half half, const SaBinding* current,
                       BindInputs* inputs) const;
  PlacementRequest RequestFor(const SaSpec& spec, Half half) const;
  bool IsRekey(const SaSpec& spec, Half half) const;
  bool MoveAndSetDue(PlacedSa* placed, Half half, std::span<const PlacementDevice> devices,
                     ReasonCode success, MoveReport* report);
  PacketHalves::Outcome Publish(PlacedSa* placed, Half half, std::unique_ptr<SaBinding> next);
  void NoteNumbers(const PlacedSa& placed, Half half, const PacketHalves::Outcome& outcome,
                   PlacedHalf* row) const;
  // `next`: its replacement; nullptr: none.
  void RetireBinding(std::unique_ptr<const SaBinding> old, const SaBinding* next);
  void CountSlot(const PlacedSa& placed, Half half, const SaBinding& binding, int delta);
  void Unplace(PlacedSa* placed, Half half);
  PlacementEntry EntryOf(const PlacedSa& placed, Half half) const;
  PlacementEntry& Spoken(const PlacedSa& placed, Half half);
  void Record(const PlacedSa& placed, Half half);
  void RecordRemoval(const PlacedSa& placed, Half half);
  void RecordFinding(PlacedSa* placed, Half half, const SaFinding& finding);

  const PlacedSasParams p_;
  DataPath& path_;
  const std::unique_ptr<PacketHalves> packets_;
  NumberedMap<PlacedSa> placed_;  // by Sa::number
  TunnelSlots slots_;
  std::size_t due_ = 0;  // halves with `due` set
  // What was said last of a half: thousands are placed in the same words, and to make the words
  // takes longer than to place one.
  struct Cause {
    PlacementRequest request;
    ProcessingPath path{};
    const OffloadDevice* device = nullptr;
    uint8_t engine = 0;
    ReasonCode reason{};
    bool operator==(const Cause&) const = default;
  };
  PlacementEntry spoken_;
  std::optional<Cause> spoken_cause_;  // nullopt: there was more to say than a cause tells
  PlacementEntry removal_;
};

}  // namespace cygnet
