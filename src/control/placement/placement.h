// Placement: the control plane's interface to where SAs run. Places new SAs, and moves SAs when a
// device appears or disappears, a slot becomes free, the operator changes a placement, or trust
// changes. Control thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "control/evidence.h"
#include "control/ledger.h"
#include "control/placement/devices.h"
#include "control/placement/placed_sas.h"
#include "control/placement/report.h"
#include "control/placement/rules.h"
#include "control/placement/scheduler.h"

namespace cygnet {

struct PlacementParams {
  DataPath* path = nullptr;
  const Clock* clock = nullptr;
  const EngineSet* engines = nullptr;
  LookAsideMode look_aside = LookAsideMode::kNo;
  std::vector<ControlDevice> devices{};
  std::vector<PlacementRule> rules{};
  SchedulerParams scheduler{};
  std::shared_ptr<Ledger> ledger{};     // nullptr: creates its own
  const PlacementGate* gate = nullptr;  // nullptr: all are trusted
  PlacementHost host{};
  EvidenceStore* evidence = nullptr;  // nullptr: evidence is not kept
  Numbers* numbers = nullptr;         // nullptr: no number outlives the process
};

// Events of placement for the control plane and, through it, for the audit trail.
class PlacementListener {
 public:
  virtual ~PlacementListener() = default;
  // The SA is about to move into packet offload on this device.
  virtual void OnEntering(const SaPtr& sa, std::size_t device) = 0;
  virtual void OnMoved(const SaPtr& sa) = 0;
  // The device changed its state or lost its tables. Called before its SAs move.
  virtual void OnBack(std::size_t device) = 0;
  // The device is gone, and what it held is lost with it (DeviceLoss::kKernel): its policies.
  // OnLost follows for each SA.
  virtual void OnGone(std::size_t device) = 0;
  // The device is gone, and its SAs were lost with it (DeviceLoss::kKernel).
  virtual void OnLost(const SaPtr& sa) = 0;
  // `state`: "up", "link-down" …; and its consequence.
  virtual void OnDeviceState(const std::string& device, const std::string& state,
                             const std::string& explanation) = 0;
  // The device does wrongly what it claims: it is not used for that. Called before SAs move.
  // `evidence`: the file that has the packet, or why there is none.
  virtual void OnWithdrawn(const std::string& device, const WithdrawnCapability& capability,
                           const std::string& evidence) = 0;
  // The seal guard stopped `count` more packets of the device, or of an engine, for this drop
  // reason.
  virtual void OnGuardHit(const std::string& device, const std::string& reason, uint64_t count) = 0;
  // Shadow verification found `count` wrong packets of the device. `evidence`: the file that has
  // them, or why there is none.
  virtual void OnWrongPackets(const std::string& device, Half half, uint64_t count,
                              const std::string& what, const std::string& evidence) = 0;
  // A device in packet offload reached a limit of an SA, or its last number.
  virtual void OnDeviceEvent(const DataPathEvent& event) = 0;
};

class Placement {
 public:
  Placement(PlacementParams params, PlacementListener* listener);
  ~Placement();

  // --- SAs ---
  // Chooses a place for every half, hands out the keys and publishes the bindings. On an error
  // nothing is kept. REQUIRES: the SA has its number.
  Status Place(const SaPtr& sa);
  // Releases the SA's places.
  void Remove(const Sa& sa) { placed_.Remove(sa.number); }
  // Ends the operator's placements by SPI when their SA ends, unless the SA moved to other
  // addresses. Call after Remove.
  void ForgetCommands(const Sa& sa);
  // nullptr: larval or removed.
  const PlacedSa* Find(uint64_t sa_number) const { return placed_.Find(sa_number); }
  const NumberedMap<PlacedSa>& all() const { return placed_.all(); }

  // --- Devices and time ---
  // Reads devices' states, tables and erasures. Call after their bell, and about once a second.
  void CheckDevices();
  // About once a second: expiry of trust, the scheduler.
  void Tick();
  // Each turn of the loop. True: a part waits for workers to pass a quiescent state.
  bool DoSome() { return placed_.packets().DoSome(); }
  // Trust or FIPS changed: checks every SA again.
  MoveReport Reevaluate();
  // The configuration changed.
  MoveReport Reconfigure(PlacementSettings settings);

  // --- SAs in packet offload: what their devices keep (packet_halves.h) ---
  // Sets the counters that a dump shows, as of the last reading.
  void Show(const Sa& sa, ReplayState* replay) const;
  std::optional<uint64_t> CountersTakenAt(const Sa& sa, Half half) const {
    return placed_.packets().CountersTakenAt(sa, half);
  }
  void Refresh(const Sa& sa) const { placed_.packets().Refresh(sa); }
  // The SA has other limits or counters.
  void ApplyLimits(const Sa& sa) { placed_.packets().ApplyLimits(sa); }
  // The SA has other encapsulation ports.
  void ApplyEncap(const Sa& sa) { placed_.Renew(sa.number); }
  // Takes all numbers of the SA back, before Sa::TakeOver continues it. Its packets are dropped.
  void TakeBack(const Sa& sa);
  void FollowTakeOver(const Sa& sa) { placed_.packets().FollowTakeOver(sa); }

  // --- The operator ---
  // `mark`, and that of the command: who orders it; its time is set here.
  Result<MoveReport> SetEnabled(const std::string& device, bool enabled, OrderMark mark = {});
  Result<MoveReport> SetOverride(PlacementCommand command);
  // What is in force.
  std::vector<OperatorOrder> Orders() const;
  Result<ExplainReport> Explain(const ExplainQuery& query) const;

  const PlacementDevices& devices() const { return devices_; }
  Ledger& ledger() { return *ledger_; }
  const Ledger& ledger() const { return *ledger_; }

 private:
  void CollectErased(std::size_t device);
  void CollectFindings(std::size_t device);
  // True: SAs may go there that could not before.
  bool TestIfDue(std::size_t device);
  void PollGuard(std::size_t device);
  void PollEngines();
  void PollShadow(std::size_t device);
  std::string KeepEvidence(std::size_t device, std::span<const ShadowEvidence> evidence);
  std::string KeepSelfTest(std::size_t device, const std::optional<DeviceSelfTest>& before);
  void OnDeviceLied(std::size_t device, const std::string& why);
  void OnDeviceChanged(std::size_t device, const PlacementDevices::Change& change);
  MoveReport MoveOff(std::size_t device);
  void LoseAll(std::size_t device);
  void BringBack(std::size_t device);
  void AskAgain();
  Result<MoveReport> SetEngineEnabled(const std::string& name, bool enabled, const OrderMark& mark);
  Status CheckOffered(const PlacementCommand& command) const;
  Error NothingSet(const PlacementCommand& command) const;

  DataPath& path_;
  const EngineSet& engines_;
  const LookAsideMode look_aside_;
  const PlacementGate* const gate_;
  PlacementListener* const listener_;  // nullptr: nobody is notified
  const Clock& clock_;
  EvidenceStore* const evidence_;
  const std::shared_ptr<Ledger> ledger_;
  const std::shared_ptr<PlacementKeys> keys_;
  PlacementDevices devices_;
  PlacementRules rules_;
  PlacedSas placed_;
  SlotScheduler scheduler_;
  // AskAgain: when next, and how long after that. 0: nothing waits.
  uint64_t ask_at_ns_ = 0;
  uint64_t ask_after_ns_ = 0;
};

}  // namespace cygnet
