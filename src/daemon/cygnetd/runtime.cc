#include "daemon/cygnetd/runtime.h"

#include <fmt/format.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/log.h"
#include "base/text_file.h"
#include "base/unique_fd.h"
#include "daemon/cygnetd/settings.h"

namespace cygnet {
namespace {

// An interface that outlives the daemon is there only if a daemon was.
MissingFile HostInterfaceStayed(const Config& config) {
  const bool stayed =
      std::any_of(config.devices.begin(), config.devices.end(), [](const DeviceConfig& device) {
        return device.persist && if_nametoindex(device.name.c_str()) != 0;
      });
  return stayed ? MissingFile::kIsDamage : MissingFile::kIsFirstStart;
}

// As ethtool names them, a blank before each.
std::string FeatureNames(const OffloadCaps& caps) {
  std::string names = " esp-hw-offload";
  if (caps.inner_checksum) names += " esp-tx-csum-hw-offload";
  if (caps.segmentation) names += " tx-esp-segmentation";
  return names;
}

}  // namespace

// The wires are shut before anything else can fail: whatever is wrong, they stay so.
Result<std::unique_ptr<Runtime>> Runtime::Create(const Config& config, RuntimeHooks hooks) {
  std::unique_ptr<Runtime> runtime(new Runtime);
  runtime->hooks_ = std::move(hooks);
  runtime->config_ = config;
  // First of all: of two daemons in one network namespace the second must not touch anything.
  auto doorstep = Doorstep::Claim();
  if (!doorstep) return doorstep.error();
  runtime->doorstep_ = *std::move(doorstep);
  CYGNET_RETURN_IF_ERROR(runtime->ShutWires());
  const Status started = runtime->Start(config);
  if (started) return runtime;
  return MakeError(started.error().code, started.error().message + runtime->WhatStaysShut());
}

// What comes once the wires are shut.
Status Runtime::Start(const Config& config) {
  CYGNET_RETURN_IF_ERROR(WaitForWires());
  auto cryptography = CheckAndMake(config, CheckScope::kThisMachine);
  if (!cryptography) return cryptography.error();
  return Build(config, *std::move(cryptography));
}

Status Runtime::Build(const Config& config, Cryptography cryptography) {
  CheckKeyMemory();
  CYGNET_RETURN_IF_ERROR(CheckMayUseWires(config));
  auto poller = Poller::Create();
  if (!poller) return poller.error();
  poller_ = *std::move(poller);
  auto network = HostNetwork::Create();
  if (!network) return network.error();
  network_ = *std::move(network);
  auto links = HostLinks::Create();
  if (!links) return links.error();
  links_ = *std::move(links);
  auto link_events = LinkEvents::Create();  // before a wire is taken: nothing is missed
  if (!link_events) return link_events.error();
  link_events_ = *std::move(link_events);
  auto sockets = KernelSockets::Create();
  if (sockets) {
    sockets_ = *std::move(sockets);
  } else {
    Log(LogLevel::kWarning, "policies of sockets have no effect: " + sockets.error().message);
  }
  Use(std::move(cryptography));
  xfrm_ = std::make_unique<XfrmServer>(poller_.get(), XfrmServerOptions{});
  path_ = std::make_unique<DataPath>(config.workers);
  path_->flow_entries = std::bit_ceil(config.flow_cache);
  path_->ike_bypass = config.ike_bypass;
  path_->pass_ether_types.Set(config.pass_ether_types);
  path_->busy_poll_us = config.busy_poll_us;
  const MissingFile missing = HostInterfaceStayed(config);
  pools_ = std::make_unique<PacketPools>(config.small_packets, config.jumbo_packets);
  for (const DeviceConfig& device : config.devices) {
    CYGNET_RETURN_IF_ERROR(AddDevice(device, config.workers));
  }
  CYGNET_RETURN_IF_ERROR(OpenLedger(config.ledger));
  StartAudit(config.audit);
  CYGNET_RETURN_IF_ERROR(BuildControl(config));
  CYGNET_RETURN_IF_ERROR(WatchWires());
  CYGNET_RETURN_IF_ERROR(OpenRestartLog(missing));
  WatchFiles();
  CYGNET_RETURN_IF_ERROR(StartServers());
  WatchKernelXfrm();
  for (uint32_t i = 0; i < config.workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(path_.get(), i, pools_.get(), &engines_, &clock_));
    workers_.back()->Start();
  }
  for (const auto& interfaces : interfaces_) {
    if (interfaces->config.persist) CYGNET_RETURN_IF_ERROR(interfaces->host->Keep());
  }
  return {};
}

// Said at once and by its name, not by the first socket that does not open.
Status Runtime::CheckMayUseWires(const Config& config) {
  const bool needed = std::any_of(config.devices.begin(), config.devices.end(),
                                  [](const DeviceConfig& device) { return !device.IsPcap(); });
  const UniqueFd fd(needed ? socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) : -1);
  if (!needed || fd.valid() || errno != EPERM) return {};
  return MakeError(Errc::kPermission,
                   "cygnetd needs CAP_NET_RAW in the user namespace that owns this network "
                   "namespace, for the wire interfaces");
}

void Runtime::Use(Cryptography cryptography) {
  fips_ = std::move(cryptography.fips);
  engines_ = std::move(cryptography.engines);
  if (!fips_->enforced()) engines_.RunSelfTests();  // in FIPS mode the check has run them
  fips_->SetEngines(&engines_);
  Log(LogLevel::kInfo, fmt::format("FIPS mode {}: {}", config_.fips.mode,
                                   fips_->enforced() ? "in force" : "not in force"));
  for (uint32_t i = 0; i < engines_.size(); ++i) {
    const EngineInfo& info = *engines_[i].info;
    Log(LogLevel::kInfo, fmt::format("crypto engine {}: {}: {}", i + 1, info.name, info.help));
  }
}

Status Runtime::AddDevice(const DeviceConfig& device, uint32_t workers) {
  auto interfaces = std::make_unique<Interfaces>();
  interfaces->config = device;
  auto script = ReadFaultScript(device);
  if (!script) return script.error();
  const auto index = static_cast<uint8_t>(path_->interfaces.size());
  interfaces->egress =
      std::make_unique<PolicyGuard>(path_.get(), index, workers, &interfaces->capture.guard);
  auto wire = FindDriver(device.driver)
                  ->create({.name = device.name,
                            .wire = device.wire,
                            .queues = workers,
                            .pools = pools_.get(),
                            .capture = &interfaces->capture,
                            .guard = interfaces->egress.get(),
                            .pcap = device.pcap,
                            .wire_driver = device.wire_driver,
                            .sa_limit = device.sa_limit,
                            .address_limit = device.address_limit,
                            .fault_script = *std::move(script),
                            .fault_seed = device.fault_seed,
                            .model = device.model,
                            .serial = device.serial,
                            .firmware = device.firmware});
  if (!wire) return In("device " + device.name, wire.error());
  interfaces->wire = *std::move(wire);
  CYGNET_RETURN_IF_ERROR(CheckOffers(device, interfaces->wire.offload));
  auto host = TapPort::Create({.name = device.name,
                               .queues = workers,
                               .mtu = device.mtu != 0 ? device.mtu : interfaces->wire.port->mtu(),
                               .mac = interfaces->wire.port->mac(),
                               .persist = device.persist});
  if (!host) return In("device " + device.name, host.error());
  interfaces->host = *std::move(host);
  CYGNET_RETURN_IF_ERROR(MarkHostInterface(*interfaces));
  path_->interfaces.push_back({.host = interfaces->host.get(),
                               .wire = interfaces->wire.port.get(),
                               .offload = interfaces->wire.offload,
                               .ifindex = interfaces->host->ifindex(),
                               .guard = interfaces->egress.get()});
  const OffloadDevice* offload = interfaces->wire.offload;
  const std::string can =
      offload == nullptr
          ? "the device cannot offload"
          : fmt::format("offload {}, {} SA slots{}", Name(device.offload),
                        offload->offload_stats().slots_limit,
                        offload->identity().simulated ? ", SIMULATED by this host's CPU" : "");
  Log(LogLevel::kInfo, fmt::format("device {}: driver {}, wire {}, {}", device.name, device.driver,
                                   device.wire, can));
  interfaces_.push_back(std::move(interfaces));
  return {};
}

// By this mark the shim shows IKE daemons and ethtool what the interface offloads.
Status Runtime::MarkHostInterface(const Interfaces& interfaces) {
  const OffloadDevice* device = interfaces.wire.offload;
  const int ifindex = interfaces.host->ifindex();
  if (device != nullptr && interfaces.config.offload != PlacementMode::kNo) {
    return network_->SetAlias(ifindex, "cygnet" + FeatureNames(device->caps()));
  }
  // One that stayed may have the mark of an earlier configuration; empty is no alias to Linux.
  return interfaces.config.persist ? network_->SetAlias(ifindex, std::string(1, '\0')) : Status{};
}

std::vector<std::unique_ptr<AuditSink>> Runtime::AuditSinks(const AuditConfig& config) {
  std::vector<std::unique_ptr<AuditSink>> sinks;
  if (config.journal) sinks.push_back(MakeJournalSink());
  if (config.linux_audit) {
    auto sink = MakeLinuxAuditSink();
    if (sink) {
      sinks.push_back(*std::move(sink));
    } else {
      Log(LogLevel::kInfo, "audit: no Linux audit records: " + sink.error().message);
    }
  }
  return sinks;
}

void Runtime::StartAudit(const AuditConfig& config) {
  audit_ = std::make_unique<Audit>(AuditSinks(config), &clock_);
  ledger_->AddSink(audit_.get());
  fence_->SetTeller([this](const std::string& device, const std::string& what,
                           const std::string& text) { audit_->Device(device, what, text); });
}

Status Runtime::OpenLedger(const LedgerConfig& config) {
  ledger_ = std::make_shared<Ledger>(&clock_);
  const std::string path = LedgerPath(config);
  if (path.empty()) {
    Log(LogLevel::kInfo, "ledger: kept in memory only (ledger.file is empty)");
    return {};
  }
  auto file = LedgerFile::Open({.path = path,
                                .max_bytes = uint64_t{config.max_mib} << 20,
                                .keep = config.keep,
                                .sync = config.sync},
                               ledger_.get(), &clock_);
  if (!file) return In("ledger.file", file.error());
  ledger_file_ = *std::move(file);
  return {};
}

Status Runtime::BuildControl(const Config& config) {
  ControlPlaneParams params;
  params.path = path_.get();
  params.clock = &clock_;
  params.engines = &engines_;
  params.look_aside = config.look_aside.mode;
  params.replay_window_min = config.ReplayWindowMin();
  params.network = network_.get();
  params.links = links_.get();
  params.sockets = sockets_.get();
  if (const std::string path = RestartPath(config); !path.empty()) {
    restart_log_ = std::make_unique<RestartLog>(path);
  }
  stored_.restart_log = restart_log_.get();
  stored_.ledger_file = ledger_file_.get();
  stored_.audit = audit_.get();
  params.journal = restart_log_.get();
  params.stored = &stored_;
  params.listener = xfrm_.get();
  params.larval_seconds = ReadAcquireExpires;
  params.settings = ReadXfrmSettings;
  params.pools = pools_.get();
  for (const auto& i : interfaces_) {
    const DeviceTerms terms = TermsOf(i->config);
    params.devices.push_back({.name = i->config.name,
                              .wire = i->config.wire,
                              .driver = i->config.driver,
                              .mode = terms.mode,
                              .ifindex = i->host->ifindex(),
                              .host_port = i->host.get(),
                              .wire_port = i->wire.port.get(),
                              .offload = i->wire.offload,
                              .capture = &i->capture,
                              .trusted = terms.trusted,
                              .allow_crypto = terms.allow_crypto,
                              .allow_packet = terms.allow_packet,
                              .rekey_reserve = terms.rekey_reserve,
                              .loss = terms.loss,
                              .fence = fence_->status(i->config.name)});
  }
  for (const PlacementRuleConfig& rule : config.placement) {
    params.rules.push_back(RuleOf(rule, params.devices));
  }
  params.scheduler = config.scheduler;
  params.ledger = ledger_;
  params.fips = fips_.get();
  params.audit = audit_.get();
  params.reload = [this] { return Reload(); };
  params.doctor = [this] { return Doctor(); };
  control_ = std::make_unique<ControlPlane>(std::move(params));
  return {};
}

// The policies of before are there when the first packet comes.
Status Runtime::OpenRestartLog(MissingFile missing) {
  if (restart_log_ == nullptr) return {};
  auto lost = restart_log_->Open(*control_, missing);
  if (!lost) return In("daemon.restart_file", lost.error());
  if (!restart_log_->damage().empty()) {
    audit_->Protection("the restart file is incomplete, and blocks: " + restart_log_->damage());
  }
  xfrm_->TellLost(
      *std::move(lost),
      [this](const IpAddress& address, IpFamily family) {
        return path_->host_addresses().Contains(address, family);
      },
      [this] { restart_log_->ForgetLost(); });
  return {};
}

Status Runtime::StartServers() {
  xfrm_->SetClientObserver(
      [this](const ClientRecord& record, const PeerId& peer) { audit_->Client(record, peer); });
  xfrm_->Start(control_.get());
  operator_ = std::make_unique<OperatorServer>(poller_.get(), control_.get());
  operator_->SetOrderObserver([this](const std::string& request, uint32_t uid, int32_t pid) {
    audit_->Command(request, uid, pid);
  });
  CYGNET_RETURN_IF_ERROR(
      poller_->Add(doorstep_->fd(), EPOLLIN, [this](uint32_t) { LetIn(doorstep_->Take()); }));
  CYGNET_RETURN_IF_ERROR(poller_->Add(network_->event_fd(), EPOLLIN, [this](uint32_t) {
    control_->OnHostNetworkChange(network_->TakeChanges());
  }));
  for (const int fd : fence_->event_fds()) {
    CYGNET_RETURN_IF_ERROR(poller_->Add(fd, EPOLLIN, [this](uint32_t) { fence_->OnEvents(); }));
  }
  if (sockets_ != nullptr) {
    CYGNET_RETURN_IF_ERROR(poller_->Add(sockets_->event_fd(), EPOLLIN,
                                        [this](uint32_t) { control_->OnSocketsEnded(); }));
  }
  return poller_->Add(path_->control_bell.fd(), EPOLLIN, [](uint32_t) {});
}

void Runtime::LetIn(std::optional<Doorstep::Visitor> visitor) {
  if (!visitor) return;
  if (visitor->service == rendezvous::Service::kXfrm) xfrm_->Admit(std::move(visitor->fd));
  if (visitor->service == rendezvous::Service::kOperator) operator_->Admit(std::move(visitor->fd));
}

std::string Runtime::Summary() const {
  std::string devices;
  for (const auto& i : interfaces_) {
    devices +=
        fmt::format("{}{} on {}", devices.empty() ? "" : ", ", i->config.name, i->config.wire);
  }
  return fmt::format("{}; {} worker{}", devices, workers_.size(), workers_.size() == 1 ? "" : "s");
}

// A worker that hangs takes its packets with it: better that the service manager starts anew.
bool Runtime::WorkersTurn(uint64_t now_ns) const {
  constexpr uint64_t kHangsMs = 3000;  // it turns once a second or more often
  return std::all_of(workers_.begin(), workers_.end(), [&](const auto& worker) {
    const uint64_t last = worker->last_turn_ms();
    return last == 0 || now_ns / 1'000'000 < last + kHangsMs;
  });
}

void Runtime::Run(Signals* signals, ServiceManager* manager) {
  constexpr uint64_t kTickNs = 1'000'000'000;
  constexpr uint64_t kAeventNs = 100'000'000;
  constexpr int kWaitMs = 100;
  uint64_t next_tick = clock_.MonotonicNs() + kTickNs;
  uint64_t next_aevents = 0;
  uint64_t next_sign = 0;
  while (signals->stop == 0) {
    if (std::exchange(signals->reload, 0) != 0) ReloadBySignal(*signals);
    path_->control_bell.Arm();
    control_->OnDataPathEvents();
    const bool more = control_->DoSome();
    poller_->RunOnce(more ? 0 : kWaitMs);
    path_->control_bell.Disarm();
    control_->OnDataPathEvents();
    audit_->Flush();
    path_->quiescence.Collect();
    const uint64_t now = clock_.MonotonicNs();
    fence_->Turn(now);
    if (now >= next_aevents) {
      next_aevents = now + kAeventNs;
      control_->CheckAevents();
      xfrm_->Tick();
    }
    if (manager->sign_of_life_ns() && now >= next_sign && WorkersTurn(now)) {
      next_sign = now + *manager->sign_of_life_ns();
      manager->GiveSignOfLife();
    }
    if (now >= next_tick) {
      next_tick += kTickNs;
      watch_->Look({});
      control_->Tick();
      TellKernelXfrm();
      LookAtFiles();
      audit_->Tick();
      LogLeftOut();
    }
  }
  if (restart_log_ != nullptr) restart_log_->Stop();
}

Runtime::~Runtime() {
  for (auto& worker : workers_) worker->Stop();
  operator_.reset();
  if (poller_ && doorstep_) poller_->Remove(doorstep_->fd());
  if (poller_ && path_) poller_->Remove(path_->control_bell.fd());
  if (poller_ && network_) poller_->Remove(network_->event_fd());
  if (poller_ && kernel_watch_) poller_->Remove(kernel_watch_->fd());
  if (poller_ && link_events_) poller_->Remove(link_events_->event_fd());
  if (poller_ && sockets_) poller_->Remove(sockets_->event_fd());
  if (poller_ && file_watch_) poller_->Remove(file_watch_->event_fd());
  if (poller_ && fence_) {
    for (const int fd : fence_->event_fds()) poller_->Remove(fd);
  }
  control_.reset();  // keys leave the devices
  restart_log_.reset();
  ledger_file_.reset();
  xfrm_.reset();
  workers_.clear();
  interfaces_.clear();  // devices' threads end here; their guards have looked at the path
  if (path_) path_->interfaces.clear();
}

}  // namespace cygnet
