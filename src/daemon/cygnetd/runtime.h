// Runtime: a running Cygnet, built from its configuration: devices, data path, control plane,
// servers, workers. The destructor takes them down in the reverse order.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/chains.h"
#include "control/control_plane.h"
#include "control/inside_control.h"
#include "daemon/audit/audit.h"
#include "daemon/cluster/cluster_control.h"
#include "daemon/cluster/cluster_sas.h"
#include "daemon/cluster/cluster_store.h"
#include "daemon/config/config.h"
#include "daemon/cygnetd/check.h"
#include "daemon/cygnetd/link.h"
#include "daemon/fence/wire_fence.h"
#include "daemon/operator/event_feed.h"
#include "daemon/operator/evidence_file.h"
#include "daemon/operator/operator_server.h"
#include "daemon/store/kept_sas.h"
#include "daemon/store/ledger_file.h"
#include "daemon/store/memory_numbers.h"
#include "daemon/store/number_file.h"
#include "daemon/store/restart_log.h"
#include "daemon/store/stored_state.h"
#include "daemon/system/file_watch.h"
#include "daemon/system/kept_descriptors.h"
#include "daemon/system/kernel_settings.h"
#include "daemon/system/poller.h"
#include "daemon/system/service_manager.h"
#include "daemon/system/wire_watch.h"
#include "daemon/xfrm_server/xfrm_server.h"
#include "datapath/worker.h"
#include "netlink/doorstep.h"
#include "xfrm/kernel_watch.h"

namespace cygnet {

// What the program provides to a Runtime.
struct RuntimeHooks {
  std::function<Result<Config>()> read_config;  // reads the file again
  std::function<void(LogLevel level)> set_log_level;
  // Used while Create waits for wires: `signals` is polled, `manager` is notified.
  const struct Signals* signals;
  ServiceManager* manager;
  KeptDescriptors* kept;  // from the process before, and for the next
};

// Written by the signal handlers.
struct Signals {
  volatile std::sig_atomic_t stop = 0;
  volatile std::sig_atomic_t restart = 0;  // with `stop`: the next process follows at once
  volatile std::sig_atomic_t reload = 0;
  volatile uid_t reload_uid = 0;  // the sender
  volatile pid_t reload_pid = 0;
};

class Runtime {
 public:
  static Result<std::unique_ptr<Runtime>> Create(const Config& config, RuntimeHooks hooks);
  ~Runtime();

  // Serves until `signals->stop` is set (checked between events). Sends `manager` signs of life
  // while every worker runs, too.
  void Run(Signals* signals, ServiceManager* manager);
  // One line for the service manager: devices, wires and workers.
  std::string Summary() const;
  // Appended to the last message: the wires whose fence stays and how to release them. Empty: none.
  std::string WhatStaysShut() const;

 private:
  Runtime() = default;
  Status Start(const Config& config);
  Status Build(const Config& config, Cryptography cryptography);
  static Status CheckMayUseWires(const Config& config);
  Status OpenKernel();
  void Use(Cryptography cryptography);
  Status BuildDataPath(const Config& config);
  Status StartWorkers(uint32_t count);
  bool WorkersTurn(uint64_t now_ns) const;
  // tunnels.cc
  Result<HostTunnel> MakeTunnel(const TunnelSpec& spec, uint32_t mtu) const;
  Status AddTunnels(const Config& config);
  void RemoveTunnels();
  // inside.cc
  Status OpenInside(const Config& config);
  std::vector<InsideReport> InsideOf(const std::string& device) const;
  // files.cc
  Status OpenLedger(const LedgerConfig& config);
  Status OpenNumbers(const NumbersConfig& config);
  void OpenMemoryNumbers();
  void ForgetNumbers();
  static std::vector<std::unique_ptr<AuditSink>> AuditSinks(const AuditConfig& config);
  void StartAudit(const AuditConfig& config);
  InterfaceNames NamesOfInterfaces() const;
  Status OpenRestartLog(MissingFile missing);
  void OpenState();
  template <typename Memory>
  Result<std::unique_ptr<Memory>> AdoptOrMake(const char* name, const char* lost);
  void RestoreSas();
  DescriptorKeeper* Keeper() const;
  void ForgetKept();
  void WatchFiles();
  Status StartFileWatch();
  void LookAtFiles();
  // cluster.cc
  Status OpenCluster(const ClusterConfig& config);
  Status OpenSharing(const ClusterConfig& config, const KeyMaterial& secret);
  void StartSharing();
  bool ShareSome();
  Status StartCluster();
  void ClusterTurn();
  void NoteGroup(LedgerGroupLine line);
  void EndCluster(const Signals& signals);
  void CloseCluster();
  std::vector<DoctorRow> CheckCluster() const;
  // servers.cc
  void BuildControl(const Config& config);
  ControlPlaneParams ControlParams(const Config& config);
  void StartServers();
  Status WatchEvents();
  void LetIn(std::optional<Doorstep::Visitor> visitor);
  // wires.cc
  Status RefuseLoopback() const;
  Status ShutWires();
  Status WaitForWires();  // until all exist, or a signal stops the daemon
  std::vector<DoctorRow> FenceRows() const;
  Status WatchWires();
  Status ShutAgain(const WatchedWire& wire);
  // kernel_xfrm.cc
  void WatchKernelXfrm();
  void OnKernelXfrm();
  void NotifyKernelXfrm();
  DoctorRow CheckKernelXfrm() const;
  static void CheckKeyMemory();
  std::vector<DoctorRow> Doctor() const;
  // offers.cc
  Status TakeSelfTests(const Config& config);
  Status CheckOffered(const Config& config) const;
  Status MarkHostInterfaces();
  void FollowSelfTests();
  // reload.cc
  void ReloadBySignal(const Signals& signals);
  Result<ReloadReport> Reload();
  Status ApplyFips(const Config& next);
  MoveReport ApplyPlacement(const Config& next);
  void ApplyRest(const Config& next);

  RuntimeHooks hooks_;
  Config config_;                       // in force: from the start, with what reloads applied
  std::unique_ptr<Doorstep> doorstep_;  // one in each network namespace
  SystemClock clock_;
  std::unique_ptr<WireFence> fence_;
  std::unique_ptr<FipsSwitch> fips_;
  EngineSet engines_;
  std::unique_ptr<PacketPools> pools_;
  std::vector<std::unique_ptr<Link>> links_;
  std::unique_ptr<DataPath> path_;
  std::unique_ptr<Poller> poller_;
  std::unique_ptr<HostNetwork> network_;
  std::unique_ptr<HostLinks> host_links_;
  std::unique_ptr<xfrm::KernelWatch> kernel_watch_;  // nullptr: the kernel has no XFRM
  uint64_t kernel_changes_ = 0;                      // to the kernel's own XFRM, since the start
  uint64_t kernel_untold_ = 0;
  uint64_t kernel_told_ns_ = 0;
  std::string kernel_last_;
  std::unique_ptr<LinkEvents> link_events_;
  std::unique_ptr<WireWatch> watch_;
  std::unique_ptr<KernelSockets> sockets_;  // nullptr: the kernel does not report them
  std::unique_ptr<XfrmServer> xfrm_;
  std::unique_ptr<RestartLog> restart_log_;  // nullptr: no state outlives this daemon
  std::unique_ptr<KeptSas> kept_sas_;        // nullptr: no SA outlives this process
  StoredState stored_;
  EventFeed events_{&clock_};  // outlives what tells it
  std::shared_ptr<Ledger> ledger_;
  std::unique_ptr<LedgerFile> ledger_file_;
  std::unique_ptr<NumberFile> number_file_;  // nullptr: numbers end with this daemon
  std::unique_ptr<MemoryNumbers>
      memory_numbers_;  // nullptr: a file or a cluster has them, or nothing is kept
  Incarnation incarnation_ = 0;
  bool restarts_ = false;                        // the next process follows at once
  bool stops_ = false;                           // by a signal, and none follows at once
  std::unique_ptr<ClusterStore> cluster_store_;  // nullptr: this node is in no cluster
  std::unique_ptr<GroupStore> group_store_;
  std::unique_ptr<ClusterSas> cluster_sas_;  // nullptr: nodes share numbers only
  std::unique_ptr<StateKeeperChain> keepers_;
  std::unique_ptr<ChangeJournalChain> journals_;
  std::unique_ptr<TrafficHold> hold_;  // for cluster_node_
  std::unique_ptr<ClusterNode> cluster_node_;
  std::unique_ptr<FileWatch> file_watch_;  // nullptr: the files are checked once a second
  std::unique_ptr<Audit> audit_;
  std::unique_ptr<EvidenceFiles> evidence_;
  std::unique_ptr<ControlPlane> control_;
  std::unique_ptr<InsideControl> inside_;  // nullptr: no device has inside interfaces
  std::unique_ptr<ClusterControl> cluster_;
  uint64_t marked_self_tests_ = 0;  // number of self-tests that the marks of interfaces know
  std::unique_ptr<OperatorServer> operator_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

// Wire interfaces that do not exist yet: cygnetd waits for them.
std::vector<std::string> MissingWires(const Config& config);
// Addresses that people or their programs put on the wire: the host still uses it. Empty: none.
std::string WireAddresses(const std::string& wire);

}  // namespace cygnet
