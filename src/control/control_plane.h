// ControlPlane: the one door to all that control does. Owns the parts (SAs, policies, placement …),
// tells them of each other, and passes requests of netlink clients and of the operator on to them,
// one at a time. Runs on one control thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/acquire_budget.h"
#include "control/acquires.h"
#include "control/address_updates.h"
#include "control/aevents.h"
#include "control/announcer.h"
#include "control/data_path_events.h"
#include "control/device_policies.h"
#include "control/host_links.h"
#include "control/host_network.h"
#include "control/ike_sockets.h"
#include "control/larval_sas.h"
#include "control/migrations.h"
#include "control/mtu_explain.h"
#include "control/nat_events.h"
#include "control/next_hops.h"
#include "control/numbers/numbers.h"
#include "control/own_devices.h"
#include "control/placement/placement.h"
#include "control/policies.h"
#include "control/reports.h"
#include "control/sas.h"
#include "control/socket_policy_control.h"
#include "control/state_keeper.h"
#include "control/tunnel_control.h"
#include "control/tunnel_requests.h"
#include "control/walks.h"
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
  // Shadow verification found wrong packets. `evidence`: the file that has them, or why not.
  virtual void WrongPackets(const std::string& device, Half half, uint64_t count,
                            const std::string& what, const std::string& evidence) = 0;
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
  StateKeeper* keeper = nullptr;        // nullptr: no SA outlives the process
  StoredControl* stored = nullptr;      // nullptr: no files
  EvidenceStore* evidence = nullptr;    // nullptr: packets of wrong devices are not kept
  NumberStore* numbers = nullptr;       // nullptr: numbers end with the process
  NumberSizes number_sizes{};
  Numbers::CellsOf number_cells{};  // empty: no SA has memory that outlives the process
  // Makes a tunnel interface of the host; empty: there are none.
  std::function<Result<HostTunnel>(const TunnelSpec&, uint32_t mtu)> make_tunnel{};
  PacketPools* pools = nullptr;  // for NAT keep-alives; nullptr: none are sent
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
  Status AddSa(SaSpec spec, const RequestOrigin& origin) override {
    return sas_.Add(std::move(spec), origin);
  }
  Status UpdateSa(SaSpec spec, const RequestOrigin& origin) override {
    return sas_.Update(std::move(spec), origin);
  }
  Status DeleteSa(const SaId& id, const RequestOrigin& origin) override {
    return sas_.Delete(id, origin);
  }
  Result<ConstSaPtr> GetSa(const SaId& id) const override;
  bool FlushSas(uint8_t proto, const RequestOrigin& origin) override {
    return sas_.Flush(proto, origin);
  }
  Result<ConstSaPtr> AllocateSpi(SpiRequest request) override {
    return larval_.AllocateSpi(std::move(request));
  }
  Status ExpireSa(const SaId& id, bool hard, const RequestOrigin& origin = {}) override {
    return sas_.Expire(id, hard, origin);
  }
  Result<AeventView> GetAevent(const SaId& id) const override;
  Status UpdateAevent(const AeventChange& change, const RequestOrigin& origin) override;
  void RequestAcquire(AcquireRequest request) override { acquires_.Request(std::move(request)); }
  Status Migrate(const Migration& migration) override { return migrations_.Run(migration); }
  Status MigrateSa(const SaMigration& migration, const RequestOrigin& origin) override {
    return migrations_.RunOne(migration, origin);
  }
  std::vector<ConstSaPtr> ListSas() const override { return sas_.List(); }
  SaView Inspect(const Sa& sa) const override { return sas_.Inspect(sa); }
  SadInfo GetSadInfo() const override { return {.count = static_cast<uint32_t>(path_.sad.size())}; }
  Status AddPolicy(PolicySpec spec, const RequestOrigin& origin) override {
    return policies_.Add(std::move(spec), origin);
  }
  Status UpdatePolicy(PolicySpec spec, const RequestOrigin& origin) override {
    return policies_.Update(std::move(spec), origin);
  }
  Status RestorePolicy(PolicySpec spec, uint64_t add_time) override {
    return policies_.Restore(std::move(spec), add_time);
  }
  void CheckPolicyTimes() override { policies_.CheckTimes(); }
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
  std::vector<std::shared_ptr<const Policy>> PoliciesInForce() const override {
    const auto all = path_.spd.List();
    return {all.begin(), all.end()};
  }
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
  Result<WhyReport> ExplainWhy(const WhyQuery& query) const override;
  LedgerReport ReportLedger(const LedgerQuery& query) const override {
    return placement_.ledger().Report(query);
  }
  Result<ExplainReport> ExplainOffload(const ExplainQuery& query) const override {
    return placement_.Explain(query);
  }
  FipsReport ReportFips() const override;
  Result<MoveReport> SetOffloadEnabled(const std::string& device, bool enabled,
                                       const OrderMark& mark = {}) override {
    return placement_.SetEnabled(device, enabled, mark);
  }
  std::vector<OperatorOrder> ReportOrders() const override { return placement_.Orders(); }
  Result<MoveReport> SetPlacement(const PlacementCommand& command) override {
    return placement_.SetOverride(command);
  }
  Result<MoveReport> SetFips(std::optional<std::string> mode) override;
  Status InjectFault(const std::string& device, const std::string& fault) override;
  std::string PlacementOf(Spi spi, const IpAddress& daddr, IpFamily family,
                          Half half) const override {
    return reports().PlacementOf(spi, daddr, family, half);
  }
  ConstSaPtr FindSa(Spi spi, const IpAddress& daddr, IpFamily family) const override {
    return path_.sad.FindWithAnyMark(
        {.daddr = daddr, .spi = spi, .proto = kProtoEsp, .family = family});
  }
  CapturePoints* FindCapture(const std::string& device) override;
  Result<ReloadReport> Reload() override;
  std::vector<DoctorRow> ReportDoctor() const override;
  StoredReport ReportStored() const override;
  std::optional<ClusterReport> ReportCluster() const override;
  Status MoveGroup(const std::string& group, const std::string& node) override;
  Status AcceptStored() override;

  // --- Tunnel interfaces ---
  Status AddTunnel(const TunnelSpec& spec) { return tunnel_requests_.AddConfigured(spec); }
  Status RemoveTunnel(const std::string& name) { return tunnels_.Remove(name); }
  std::vector<TunnelReport> ReportTunnels() const override { return tunnels_.Report(); }
  void SetUnmetPolicies(UnmetPolicies what) { tunnels_.SetUnmetPolicies(what); }
  void HoldCarriers() { tunnels_.HoldCarriers(); }
  void ShowCarriers() { tunnels_.ShowCarriers(); }
  // Those that clients ask for.
  TunnelRequests& tunnel_requests() { return tunnel_requests_; }

  // --- Restarts ---
  // Before RestoreSa, once for many: checks and placement need the host's addresses.
  void CatchUp() { addresses_.CatchUp(); }
  // REQUIRES: no worker runs.
  Status RestoreSa(RestoredSa sa) { return sas_.Restore(std::move(sa)); }
  bool HasNumbersInStore(const Sa& sa) const { return numbers_.HasInStore(sa); }
  // nullptr: this host is in no cluster.
  void SetCluster(ClusterOperator* cluster) { cluster_ = cluster; }
  // For a cluster's groups.
  Numbers& numbers() { return numbers_; }
  const Numbers& numbers() const { return numbers_; }
  // Takes all numbers back from devices. REQUIRES: no worker runs any more.
  void TakeBackNumbers();

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
  // A client has the answer to its request: does what it need not wait for.
  void OnAnswered();
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
  // ACQUIREs that made no larval state because the limit was reached.
  uint64_t acquires_refused() const { return acquire_budget_.refused(); }
  SocketPolicyControl& socket_policies() { return socket_policies_; }
  // For `cygnet doctor`.
  std::vector<DoctorRow> CheckHostRoutes() const;
  const std::vector<ControlDevice>& devices() const { return placement_.devices().all(); }
  // What each device can do, as far as its self-test confirms it.
  const PlacementDevices& placement_devices() const { return placement_.devices(); }
  // For a reload: what may change while SAs exist.
  MoveReport Reconfigure(PlacementSettings settings, uint32_t replay_window_min);

 private:
  PlacementParams ParamsOfPlacement();
  PlacementHost PlacementHostOf();
  RouteLookup Routes() const;
  MtuExplain MtuOf() const;
  HostQuestions QuestionsToHost() const;
  std::string WhyMute(const Sa& sa) const;
  std::unique_ptr<NextHops> MakeNextHops();
  AddressUpdates::Host AddressesOf(HostNetwork* network);
  void TakeAllChanges(HostNetwork* network);
  void ReadSettings();

  Reports reports() const;
  void AuditFips() const;
  uint64_t Now() const { return params_.clock->WallSeconds(); }
  // PlacementListener
  void OnEntering(const SaPtr& sa, std::size_t device) override { sas_.GivePolicies(sa, device); }
  void OnMoved(const SaPtr& sa) override;
  void OnBack(std::size_t device) override { device_policies_.GiveAgain(device); }
  void OnGone(std::size_t device) override { policies_.Lose(device); }
  void OnLost(const SaPtr& sa) override;
  void OnDeviceState(const std::string& device, const std::string& state,
                     const std::string& explanation) override;
  void OnWithdrawn(const std::string& device, const WithdrawnCapability& capability,
                   const std::string& evidence) override;
  void OnGuardHit(const std::string& device, const std::string& reason, uint64_t count) override;
  void OnWrongPackets(const std::string& device, Half half, uint64_t count, const std::string& what,
                      const std::string& evidence) override;
  void OnDeviceEvent(const DataPathEvent& event) override { events_.Handle(event); }

  ControlPlaneParams params_;
  DataPath& path_;
  const Announcer announcer_;
  const OwnDevices own_devices_;
  TunnelControl tunnels_;
  TunnelRequests tunnel_requests_;
  AddressUpdates addresses_;
  DevicePolicies device_policies_;
  Numbers numbers_;
  Placement placement_;
  const std::unique_ptr<NextHops> next_hops_;  // nullptr: there is no host network
  SocketPolicyControl socket_policies_;
  IkeSockets ike_sockets_;
  Policies policies_;
  AcquireBudget acquire_budget_;
  LarvalSas larval_;
  Acquires acquires_;
  Aevents aevents_;
  NatMappings mappings_;
  NatKeepalives keepalives_;
  Sas sas_;
  Migrations migrations_;
  DataPathEvents events_;
  Walks walks_;
  const uint64_t started_;
  uint64_t ticks_ = 0;
  ClusterOperator* cluster_ = nullptr;
};

}  // namespace cygnet
