// ControlPlane: applies changes to SAD, SPD, engines and devices one request at a time, and
// notifies listeners. Owns what the data path reads. Runs on one control thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "control/acquire_budget.h"
#include "control/aevents.h"
#include "control/announcer.h"
#include "control/host_links.h"
#include "control/host_network.h"
#include "control/ike_sockets.h"
#include "control/nat_events.h"
#include "control/next_hops.h"
#include "control/placement/placement.h"
#include "control/policies.h"
#include "control/reports.h"
#include "control/route_check.h"
#include "control/socket_policy_control.h"
#include "crypto/engine_set.h"
#include "datapath/data_path.h"
#include "packet/packet_pool.h"
#include "requests/xfrm_control.h"

namespace cygnet {

// FIPS mode, as the control plane controls it. `Apply` may change the gate's answers.
class FipsControl : public PlacementGate {
 public:
  virtual FipsReport Report(const std::vector<ControlDevice>& devices, const EngineSet& engines,
                            uint64_t now) const = 0;
  // `mode` empty: keeps the mode. Always reads the boundary list again. An error changes nothing.
  virtual Status Apply(const std::optional<std::string>& mode) = 0;
};

// The audit trail of devices and of packets that the guard stopped. The ledger's sinks record the
// rest.
class DeviceAudit {
 public:
  virtual ~DeviceAudit() = default;
  virtual void Device(const std::string& name, const std::string& state,
                      const std::string& explanation) = 0;
  virtual void GuardHit(const std::string& device, const std::string& reason, uint64_t count) = 0;
  virtual void Fips(const FipsRow& row) = 0;
};

// The files that the daemon keeps: their state, and the operator's decision about them.
class StoredControl {
 public:
  virtual ~StoredControl() = default;
  virtual StoredReport Report() const = 0;
  // Accepts an incomplete restart file: what could be read of it counts as complete.
  virtual Status Accept() = 0;
};

// The kernel's XFRM settings under /proc/sys/net/core.
struct XfrmSettings {
  uint32_t aevent_rseqth = 2;  // packets between two NEWAE of an SA that sets no threshold
  uint32_t aevent_etime = 10;  // 100 ms units, likewise
  bool larval_drop = true;     // false: packets wait for an SA
};

struct ControlPlaneParams {
  DataPath* path = nullptr;
  const Clock* clock = nullptr;
  const EngineSet* engines = nullptr;
  LookAsideMode look_aside = LookAsideMode::kNo;
  uint32_t replay_window_min = 0;  // smallest window of inbound SAs with replay protection
  std::vector<ControlDevice> devices;
  std::vector<PlacementRule> rules;
  SchedulerParams scheduler;
  std::shared_ptr<Ledger> ledger;  // nullptr: an in-memory ledger
  FipsControl* fips = nullptr;     // nullptr: FIPS mode is off
  DeviceAudit* audit = nullptr;
  HostNetwork* network = nullptr;       // nullptr: addresses and next hops stay unknown
  HostLinks* links = nullptr;           // nullptr: upper devices stay unknown
  HostSockets* sockets = nullptr;       // nullptr: the places of sockets stay unknown
  ControlListener* listener = nullptr;  // nullptr: nobody is notified
  ChangeJournal* journal = nullptr;     // nullptr: nothing outlives the daemon
  StoredControl* stored = nullptr;      // nullptr: no files
  PacketPools* pools = nullptr;         // for NAT keep-alives; nullptr: none are sent
  LarvalLimits larval_limits;
  std::function<uint32_t()> larval_seconds = [] { return 30u; };           // of an ACQUIRE
  std::function<XfrmSettings()> settings = [] { return XfrmSettings{}; };  // read at each tick
  // Reads the daemon's configuration again; empty: not supported.
  std::function<Result<ReloadReport>()> reload{};
  std::function<std::vector<DoctorRow>()> doctor{};
};

class ControlPlane final : public XfrmControl, public OperatorControl, private PlacementListener {
 public:
  explicit ControlPlane(ControlPlaneParams params);
  ~ControlPlane() override;

  // --- XfrmControl ---
  Status AddSa(SaSpec spec, const RequestOrigin& origin) override;
  Status UpdateSa(SaSpec spec, const RequestOrigin& origin) override;
  Status DeleteSa(const SaId& id, const RequestOrigin& origin) override;
  Result<std::shared_ptr<const Sa>> GetSa(const SaId& id) const override;
  bool FlushSas(uint8_t proto, const RequestOrigin& origin) override;
  Result<std::shared_ptr<const Sa>> AllocateSpi(SpiRequest request) override;
  Status ExpireSa(const SaId& id, bool hard, const RequestOrigin& origin = {}) override;
  Result<AeventView> GetAevent(const SaId& id) const override;
  Status UpdateAevent(const AeventChange& change, const RequestOrigin& origin) override;
  void RequestAcquire(AcquireRequest request) override;
  Status Migrate(const Migration& migration) override;
  std::vector<std::shared_ptr<const Sa>> ListSas() const override;
  SaView Inspect(const Sa& sa) const override;
  SadInfo GetSadInfo() const override;

  Status AddPolicy(PolicySpec spec, const RequestOrigin& origin) override {
    return policies_.Add(std::move(spec), origin);
  }
  Status UpdatePolicy(PolicySpec spec, const RequestOrigin& origin) override {
    return policies_.Update(std::move(spec), origin);
  }
  Status DeletePolicy(const PolicyId& id, const RequestOrigin& origin) override {
    return policies_.Delete(id, origin);
  }
  Result<PolicyView> GetPolicy(const PolicyId& id) const override { return policies_.Get(id); }
  Status ExpirePolicy(const PolicyId& id, bool hard, const RequestOrigin& origin = {}) override {
    return policies_.Expire(id, hard, origin);
  }
  Result<bool> FlushPolicies(PolicyType type, const RequestOrigin& origin) override {
    return policies_.Flush(type, origin);
  }
  std::vector<PolicyView> ListPolicies() const override { return policies_.List(); }
  SpdInfo GetSpdInfo() const override {
    return {.count = path_.spd.Counts(), .of_sockets = socket_policies_.Counts()};
  }
  Status ChangeSocketPolicy(SocketPolicyChange change) override {
    return socket_policies_.Change(std::move(change));
  }
  std::vector<PolicyView> ListSocketPolicies() const override { return socket_policies_.List(); }
  Status SetDefaults(const std::array<std::optional<PolicyAction>, kPolicyDirections>& actions,
                     const RequestOrigin& origin) override {
    return policies_.SetDefaults(actions, origin);
  }
  std::array<PolicyAction, kPolicyDirections> GetDefaults() const override {
    return policies_.defaults();
  }

  // --- OperatorControl ---
  std::vector<SaReport> ReportSas() const override { return reports().ReportSas(); }
  std::vector<PolicyReport> ReportPolicies() const override { return reports().ReportPolicies(); }
  std::vector<DeviceReport> ReportDevices() const override { return reports().ReportDevices(); }
  std::vector<EngineReport> ReportEngines() const override { return reports().ReportEngines(); }
  StatReport ReportStats() const override;
  Result<MtuReport> ExplainMtu(const MtuQuery& query) const override;
  LedgerReport ReportLedger(const LedgerQuery& query) const override;
  Result<ExplainReport> ExplainOffload(const ExplainQuery& query) const override;
  FipsReport ReportFips() const override;
  Result<MoveReport> SetOffloadEnabled(const std::string& device, bool enabled) override;
  Result<MoveReport> SetPlacement(const PlacementCommand& command) override;
  Result<MoveReport> SetFips(std::optional<std::string> mode) override;
  Status InjectFault(const std::string& device, const std::string& fault) override;
  std::string PlacementOf(Spi spi, const IpAddress& daddr, IpFamily family,
                          Half half) const override {
    return reports().PlacementOf(spi, daddr, family, half);
  }
  CapturePoints* FindCapture(const std::string& device) override;
  Result<ReloadReport> Reload() override;
  std::vector<DoctorRow> ReportDoctor() const override;
  StoredReport ReportStored() const override;
  Status AcceptStored() override;

  // --- The daemon's loop ---
  // About once a second: lifetimes by time, larval states, neighbours. Frees what is unused.
  void Tick();
  // The data path's ike_bypass has changed.
  void RefreshIkeSockets() { ike_sockets_.Refresh(); }
  // HostSockets has events.
  void OnSocketsEnded() {
    socket_policies_.OnEnded();
    ike_sockets_.Refresh();
  }
  // About every 100 ms: notifies listeners of SAs whose counters changed.
  void CheckAevents();
  // After the control bell, and once per turn of the loop: handles device states and one turn's
  // share of the data path's events.
  void OnBell();
  // Host addresses, routes or neighbours changed.
  void OnHostNetworkChange(const NetworkChanges& changes);
  // Does one part of the queued work, short enough that no client waits long. Call it each turn.
  // True: more work is ready now.
  bool DoSome();
  const NextHops* next_hops() const { return next_hops_.has_value() ? &*next_hops_ : nullptr; }
  // ACQUIREs that made no larval state because the limit was reached.
  uint64_t acquires_refused() const { return acquires_.refused(); }
  SocketPolicyControl& socket_policies() { return socket_policies_; }
  // For `cygnet doctor`. upper_devices.cc
  std::vector<DoctorRow> CheckHostRoutes() const;
  const std::vector<ControlDevice>& devices() const { return placement_->devices().all(); }
  // For a reload: what may change while SAs exist. reconfigure.cc
  MoveReport Reconfigure(PlacementSettings settings, uint32_t replay_window_min);

 private:
  // sa_control.cc, larval.cc
  Result<std::shared_ptr<Sa>> Install(SaSpec spec, const std::shared_ptr<Sa>& fills = nullptr);
  void Link(const std::shared_ptr<Sa>& sa);
  std::shared_ptr<Sa> MakeSa(SaSpec spec, uint64_t iv_mask);
  Status UpdateValid(Sa* sa, const SaSpec& spec);
  void Remove(const std::shared_ptr<Sa>& sa);
  void CountEncapPort(uint16_t port, int delta);
  void RemoveAnsweredLarval(const SaSpec& spec);
  std::shared_ptr<Sa> FindLarval(const SaSpec& spec) const;
  bool AcquireInProgress(const SaSpec& wanted) const;
  static Selector LarvalSelector(const SaSpec& spec);
  std::shared_ptr<Sa> InsertLarval(SaSpec spec, uint64_t since);
  std::optional<Spi> ChooseSpi(const SpiRequest& request) const;
  std::shared_ptr<Sa> Named(const SaId& id) const;
  std::shared_ptr<Sa> ByNumber(uint64_t number) const;
  void Expire(const std::shared_ptr<Sa>& sa, bool hard, const RequestOrigin& origin = {});
  void CheckTimes(const std::shared_ptr<Sa>& sa, uint64_t now);
  void FollowNextHop(const Sa& sa);
  void FollowNextHops();
  // migrate.cc
  struct MovingSa {
    std::shared_ptr<Sa> from;
    std::shared_ptr<Sa> to;
  };
  Result<std::shared_ptr<Policy>> FindMigrated(const Migration& migration) const;
  std::shared_ptr<Sa> FindMoving(const MigrateEntry& entry) const;
  Status PrepareMoves(const Migration& migration, std::vector<MovingSa>* moves);
  Status PrepareMove(const std::shared_ptr<Sa>& sa, const MigrateEntry& entry,
                     const Migration& migration, std::vector<MovingSa>* moves);
  void UndoMoves(const std::vector<MovingSa>& moves);
  void FinishMove(const MovingSa& move);
  void OnShortQuote(const DataPathEvent& event);
  // acquire.cc
  void OnAcquire(const DataPathEvent& event);
  bool AskForSas(const Policy& policy, const DataPathEvent& event);
  void AskForSa(const Policy& policy, std::size_t template_index, const Sad::OutboundQuery& query,
                const DataPathEvent& event);
  // The address that the host would send from; any if unknown.
  IpAddress LocalEndTo(const IpAddress& daddr, IpFamily family) const;

  // mtu_explain.cc
  // upper_devices.cc
  const ControlDevice* DeviceWith(int32_t ifindex) const;
  int32_t DeviceUnder(int32_t ifindex) const;
  MtuReport ExplainOn(const ControlDevice& device, MtuReport report) const;
  MtuReport ExplainTemplates(const PolicyMatch& match, int32_t ifindex, MtuReport report) const;

  // turns.cc
  class Turn;
  bool TakeEvents(SpscRing<DataPathEvent>* ring, int* acquires);
  void OnDataPathEvent(const DataPathEvent& event);
  enum class Patience : uint8_t { kNone, kSome };
  void ReadAddresses(uint64_t now_ns, Patience patience);
  void WalkTimes(Turn turn);
  void WalkAevents(Turn turn);
  void WalkPolicies(Turn turn);

  Reports reports() const;
  void AuditFips() const;
  void ReadSettings();
  uint64_t Now() const { return params_.clock->WallSeconds(); }
  // PlacementListener
  void OnMoved(const std::shared_ptr<Sa>& sa) override;
  void OnLost(const std::shared_ptr<Sa>& sa) override;
  void OnDeviceState(const std::string& device, const std::string& state,
                     const std::string& explanation) override;
  void OnGuardHit(const std::string& device, const std::string& reason, uint64_t count) override;

  ControlPlaneParams params_;  // Reconfigure changes it
  DataPath& path_;
  SocketPolicyControl socket_policies_;
  const Announcer announcer_;
  Policies policies_;
  Aevents aevents_;
  NatMappings mappings_;
  NatKeepalives keepalives_;
  AcquireBudget acquires_;
  IkeSockets ike_sockets_;
  uint64_t next_short_quote_ns_ = 0;
  std::optional<Placement> placement_;      // set from the constructor to the destructor
  std::map<uint16_t, int> encap_ports_;     // of this host: the number of SAs that use each
  std::unordered_set<uint64_t> exhausted_;  // SAs logged as out of numbers
  std::optional<NextHops> next_hops_;       // set if there is a host network
  // Walks over all SAs or policies, in parts: the next one. nullopt: no walk is running.
  std::optional<uint64_t> times_from_;
  std::optional<uint64_t> aevents_from_;
  std::vector<std::shared_ptr<Policy>> policies_to_check_;
  bool events_left_ = false;
  std::size_t first_worker_ = 0;
  bool addresses_changed_ = false;
  uint64_t next_addresses_at_ = 0;
  XfrmSettings settings_;
  uint32_t acquire_sequence_ = 0;
  // Interfaces that are stacked on devices: interface → device below. See DeviceUnder.
  mutable std::map<int32_t, int32_t> under_;
  mutable uint64_t stacks_at_ns_ = 0;
  mutable bool stacks_read_ = false;
  const uint64_t started_;
  uint64_t ticks_ = 0;
};

}  // namespace cygnet
