// Placement: where each half of each SA runs, and every change of that. Decisions are
// datapath/path_select's; this asks it at install, and again when a device comes or goes, a slot
// is free, the operator speaks, or trust changes. Control thread.
//
// A move publishes a new binding by one pointer store. What was handed over under the old one is
// finished under it: sequence numbers and IVs are the stack's whatever the place, so nothing is
// lost, nothing is used twice.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "control/fence_status.h"
#include "control/ledger.h"
#include "control/placement_keys.h"
#include "control/placement_report.h"
#include "crypto/engine_set.h"
#include "datapath/data_path.h"
#include "datapath/path_select.h"
#include "device/capture.h"

namespace cygnet {

// What becomes of SAs when their device's link goes or the device is removed.
enum class DeviceLoss : uint8_t {
  kKeep,    // they move; listeners are told by UPDSA
  kKernel,  // they are deleted without a message, as a Linux kernel does
};

// A device of the configuration, as the control plane keeps it.
struct ControlDevice {
  std::string name;  // host-side interface
  std::string wire;
  std::string driver;
  PlacementMode mode = PlacementMode::kCrypto;
  int32_t ifindex = 0;
  Port* host_port = nullptr;
  Port* wire_port = nullptr;
  OffloadDevice* offload = nullptr;
  CapturePoints* capture = nullptr;
  bool trusted = true;
  bool allow_crypto = true;
  bool allow_packet = true;
  uint32_t rekey_reserve = 0;  // slots of each direction
  DeviceLoss loss = DeviceLoss::kKeep;
  const FenceStatus* fence = nullptr;  // nullptr: it has none
};

// A [[placement]] table: what it names must all fit; the first rule that fits decides.
struct PlacementRule {
  std::string name{};
  std::optional<Reqid> reqid{};
  std::optional<AddressPrefix> peer{};  // the SA's far end
  std::optional<AddressPrefix> src{};   // within the SA's selector
  std::optional<AddressPrefix> dst{};
  std::optional<bool> inbound{};
  PlacementMode mode = PlacementMode::kAuto;
  int32_t ifindex = 0;  // of its device; 0 = as the client asked, else any
  bool pin = false;
};

struct SchedulerParams {
  bool enabled = false;
  uint32_t interval_seconds = 5;
  uint32_t hysteresis_percent = 200;    // a newcomer must be this much busier
  uint32_t min_residence_seconds = 10;  // nobody loses a slot sooner
  uint32_t max_moves = 16;              // per interval
  bool operator==(const SchedulerParams&) const = default;
};

// Trust and FIPS: who may be given keys. nullopt: may.
class PlacementGate {
 public:
  virtual ~PlacementGate() = default;
  virtual std::optional<PlacementReason> DenyDevice(const ControlDevice& device,
                                                    uint64_t now) const = 0;
  virtual std::optional<PlacementReason> DenyEngine(const EngineSet& engines, uint32_t number,
                                                    uint64_t now) const = 0;
  virtual std::optional<PlacementReason> DenyAlgorithm(const SaSpec& spec) const = 0;
};

// What of a ControlDevice the configuration may change while it runs.
struct DeviceTerms {
  PlacementMode mode = PlacementMode::kCrypto;
  bool trusted = true;
  bool allow_crypto = true;
  bool allow_packet = true;
  uint32_t rekey_reserve = 0;
  DeviceLoss loss = DeviceLoss::kKeep;
};

struct PlacementSettings {
  std::vector<DeviceTerms> devices;  // in the order of PlacementParams::devices
  std::vector<PlacementRule> rules;
  SchedulerParams scheduler;
};

struct PlacementParams {
  DataPath* path = nullptr;
  const Clock* clock = nullptr;
  const EngineSet* engines = nullptr;
  LookAsideMode look_aside = LookAsideMode::kNo;
  std::vector<ControlDevice> devices;
  std::vector<PlacementRule> rules;
  SchedulerParams scheduler;
  std::shared_ptr<Ledger> ledger;       // nullptr: one of its own
  const PlacementGate* gate = nullptr;  // nullptr: everybody is trusted
  std::function<bool(int32_t)> interface_exists = [](int32_t) { return true; };
  // The device that a bridge, bond or VLAN stands on; 0: none.
  std::function<int32_t(int32_t)> device_under = [](int32_t) { return 0; };
  // The interface a packet to there leaves by; 0: none.
  std::function<int32_t(const IpAddress&, IpFamily)> egress_of = [](const auto&, auto) {
    return 0;
  };
};

// What placement tells the control plane and, by way of it, the audit trail.
class PlacementListener {
 public:
  virtual ~PlacementListener() = default;
  virtual void OnMoved(const std::shared_ptr<Sa>& sa) = 0;
  // The device is gone, and its SAs with it (DeviceLoss::kKernel).
  virtual void OnLost(const std::shared_ptr<Sa>& sa) = 0;
  // "up", "link-down" …, and what follows from it.
  virtual void OnDeviceState(const std::string& device, const std::string& state,
                             const std::string& explanation) = 0;
  // The guard of the device's wire stopped `count` packets more, for this drop reason.
  virtual void OnGuardHit(const std::string& device, const std::string& reason, uint64_t count) = 0;
};

// One half of an SA, with what is kept of it beside the data path's part.
struct PlacedHalf {
  static constexpr std::size_t kMaxHistory = 16;

  std::unique_ptr<SaBinding> binding;   // nullptr: the SA has no such half
  std::vector<PlacementEntry> history;  // earlier places, oldest first
  // It goes to a device as soon as that has room, and for this reason: kReturned, kPromoted.
  std::optional<ReasonCode> due;
  uint64_t rate = 0;  // packets in the last interval of the scheduler
};

struct PlacedSa {
  std::shared_ptr<Sa> sa;
  PlacedHalf outbound;
  PlacedHalf inbound;
  uint64_t packets = 0;  // at the end of the last interval of the scheduler
  PlacedHalf& half(bool is_inbound) { return is_inbound ? inbound : outbound; }
  const PlacedHalf& half(bool is_inbound) const { return is_inbound ? inbound : outbound; }
};

class Placement {
 public:
  Placement(PlacementParams params, PlacementListener* listener);
  ~Placement();

  // Chooses for every half and publishes to the SA. On an error nothing is kept. What comes out is
  // for Keep, once the SA has its number.
  Result<PlacedSa> Place(const std::shared_ptr<Sa>& sa);
  void Keep(PlacedSa placed);
  // Instead of Keep: the SA will not be.
  void Abandon(PlacedSa placed);
  void Remove(const Sa& sa);
  // nullptr: larval, or gone.
  const PlacedSa* Find(uint64_t sa_number) const;
  const std::unordered_map<uint64_t, PlacedSa>& all() const { return placed_; }

  // Devices' states, tables and what they erased; after their bell, and about once a second.
  void CheckDevices();
  // About once a second: expiry of trust, the scheduler.
  void Tick();
  // Trust or FIPS changed: every SA is looked at again.
  MoveReport Reevaluate();
  // The configuration changed. reconfigure.cc
  MoveReport Reconfigure(PlacementSettings settings);
  Result<MoveReport> SetEnabled(const std::string& device, bool enabled);
  Result<MoveReport> SetOverride(const PlacementCommand& command);
  Result<ExplainReport> Explain(const ExplainQuery& query) const;

  const std::vector<ControlDevice>& devices() const { return params_.devices; }
  std::optional<std::size_t> DeviceNamed(const std::string& name) const;
  // Why a device is given no keys; nullopt: it may be.
  const std::optional<PlacementReason>& denied(std::size_t device) const {
    return state_[device].denied;
  }
  const std::optional<PlacementReason>& engine_denied(uint32_t engine) const {
    return engine_denied_[engine];
  }
  bool disabled(std::size_t device) const { return state_[device].disabled; }
  // Caught by the guard of its wire.
  bool lied(std::size_t device) const { return state_[device].lied; }
  Ledger& ledger() { return *params_.ledger; }
  const Ledger& ledger() const { return *params_.ledger; }

 private:
  struct DeviceRow {
    bool disabled = false;  // by the operator
    bool freed = false;     // a slot or more, since halves that wait for one were looked at
    bool lied = false;      // caught by the wire guard; until the operator enables it again
    DeviceState seen = DeviceState::kUp;
    uint32_t seen_resets = 0;
    EgressGuardStats seen_guard;
    std::optional<PlacementReason> denied;
  };
  // SAs that have a slot, counted by what makes one the rekey of another.
  struct TunnelKey {
    std::size_t device;
    bool inbound;
    uint32_t reqid;
    IpAddress saddr;
    IpAddress daddr;
    bool operator==(const TunnelKey&) const = default;
  };
  struct TunnelKeyHash {
    std::size_t operator()(const TunnelKey& k) const {
      return SeededHash(std::hash<IpAddress>{}(k.saddr) ^ std::size_t{k.reqid} << 1,
                        std::hash<IpAddress>{}(k.daddr) ^ k.device << 33 ^ (k.inbound ? 1 : 0));
    }
  };
  using Filter = std::function<bool(const PlacedSa&, const PlacedHalf&)>;

  uint64_t Now() const { return params_.clock->WallSeconds(); }
  // placement_inputs.cc: what a decision depends on.
  std::vector<PlacementDevice> DeviceInputs() const;
  PlacementInputs InputsFor(const SaSpec& spec, bool inbound,
                            std::span<const PlacementDevice> devices) const;
  std::optional<PlacementRequest> RequestFor(const SaSpec& spec, bool inbound) const;
  bool DirectionIsKnown(const SaSpec& spec, bool inbound) const;
  bool IsRekey(const SaSpec& spec, bool inbound) const;
  int32_t DeviceOfClient(const SaSpec& spec) const;
  Status CheckOverride(const PlacementCommand& command) const;
  bool RefreshGate();

  // placement.cc: one half.
  Status PlaceHalf(PlacedSa* placed, bool inbound, std::span<const PlacementDevice> devices);
  bool Move(PlacedSa* placed, bool inbound, std::span<const PlacementDevice> devices,
            ReasonCode success);
  void Publish(PlacedSa* placed, bool inbound, Selection next);
  void Retire(std::unique_ptr<SaBinding> old, const SaBinding* next);
  void CountSlot(const PlacedSa& placed, bool inbound, int delta);
  void Record(const PlacedSa& placed, bool inbound);
  PlacementEntry EntryOf(const PlacedSa& placed, bool inbound) const;
  std::size_t NumberOf(const OffloadDevice* device) const;

  // placement_explain.cc
  void ExplainHalf(const SaSpec& spec, PlacementMode mode, std::size_t number, bool inbound,
                   ExplainReport* report) const;
  ExplainReport::Verdict VerdictOf(const SaSpec& spec, PlacementMode mode, std::size_t number,
                                   CryptoDirection direction,
                                   const std::optional<PlacementReason>& obstacle,
                                   bool nowhere) const;
  // placement_moves.cc: many halves.
  MoveReport MoveAll(const Filter& which, ReasonCode success);
  bool MoveOne(PlacedSa* placed, bool inbound, std::span<const PlacementDevice> devices,
               ReasonCode success, MoveReport* report);
  Result<MoveReport> SetEngineEnabled(const std::string& name, bool enabled);
  static bool WaitsForReturn(const PlacedHalf& half);
  void SetDue(PlacedHalf* half, std::optional<ReasonCode> due);
  void TakeErased(std::size_t device);
  void LookAtGuard(std::size_t device);
  void OnDeviceLied(std::size_t device);
  void OnDeviceChanged(std::size_t device);
  void LoseAll(std::size_t device);
  void BringBack(std::size_t device);
  // placement_scheduler.cc
  void Schedule();
  void MeasureRates();
  void PromoteAndDemote(std::size_t device, bool inbound, uint32_t* moves);
  void Demote(PlacedSa* placed, bool inbound);
  bool WaitsFor(const PlacedHalf& half, std::size_t device) const;
  void FillFreeSlots(std::size_t device);
  bool WaitsForRoom(const PlacedSa& placed, bool inbound, std::size_t device) const;

  PlacementParams params_;
  DataPath& path_;
  PlacementListener* const listener_;
  std::shared_ptr<PlacementKeys> keys_;
  std::vector<DeviceRow> state_;  // by device
  std::array<std::optional<PlacementReason>, EngineSet::kMaxEngines> engine_denied_{};
  std::array<bool, EngineSet::kMaxEngines> engine_disabled_{};
  std::vector<PlacementCommand> overrides_;        // the operator's, newest first
  std::unordered_map<uint64_t, PlacedSa> placed_;  // by Sa::number
  std::unordered_map<TunnelKey, uint32_t, TunnelKeyHash> slots_of_;
  std::size_t due_ = 0;  // halves that are
  uint64_t next_schedule_ = 0;
};

std::string_view Name(PlacementMode mode);
std::optional<PlacementMode> ParsePlacementMode(std::string_view name);
std::string_view Name(RequestedBy by);
// Where a binding runs, in the operator's words: "crypto", "software" …
std::string_view EffectiveName(const SaBinding& binding);
// The device or engine at work; empty when blocked.
std::string WhereOf(const SaBinding& binding, const EngineSet& engines);

}  // namespace cygnet
