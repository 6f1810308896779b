#include "daemon/cygnetd/runtime.h"

#include <fmt/format.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "base/unique_fd.h"
#include "daemon/cygnetd/settings.h"

namespace cygnet {
namespace {

// An interface of the host exists only if a daemon ran before: it is persistent, or kept.
MissingFile HostInterfaceStayed(const Config& config) {
  const bool stayed = std::any_of(
      config.devices.begin(), config.devices.end(),
      [](const DeviceConfig& device) { return if_nametoindex(device.name.c_str()) != 0; });
  return stayed ? MissingFile::kIsDamage : MissingFile::kIsFirstStart;
}

template <typename T>
Status Keep(Result<std::unique_ptr<T>> made, std::unique_ptr<T>* kept) {
  if (!made) return made.error();
  *kept = *std::move(made);
  return {};
}

}  // namespace

// Shuts the wires before anything else can fail: whatever fails later, they stay shut.
Result<std::unique_ptr<Runtime>> Runtime::Create(const Config& config, RuntimeHooks hooks) {
  std::unique_ptr<Runtime> runtime(new Runtime);
  runtime->hooks_ = std::move(hooks);
  runtime->config_ = config;
  // First: a second daemon in the same network namespace must not touch anything.
  CYGNET_RETURN_IF_ERROR(Keep(Doorstep::Claim(), &runtime->doorstep_));
  CYGNET_RETURN_IF_ERROR(runtime->RefuseLoopback());
  CYGNET_RETURN_IF_ERROR(runtime->ShutWires());
  const Status started = runtime->Start(config);
  if (started) return runtime;
  return MakeError(started.error().code, started.error().message + runtime->WhatStaysShut());
}

// REQUIRES: the wires are shut.
Status Runtime::Start(const Config& config) {
  CYGNET_RETURN_IF_ERROR(WaitForWires());
  auto cryptography = CheckAndMake(config, CheckScope::kThisMachine);
  if (!cryptography) return cryptography.error();
  return Build(config, *std::move(cryptography));
}

// Opens the sockets that query the kernel and listen to it.
Status Runtime::OpenKernel() {
  CYGNET_RETURN_IF_ERROR(Keep(Poller::Create(), &poller_));
  CYGNET_RETURN_IF_ERROR(Keep(HostNetwork::Create(), &network_));
  CYGNET_RETURN_IF_ERROR(Keep(HostLinks::Create(), &host_links_));
  // Before a wire is opened, so that no event is missed.
  CYGNET_RETURN_IF_ERROR(Keep(LinkEvents::Create(), &link_events_));
  if (const Status opened = Keep(KernelSockets::Create(), &sockets_); !opened) {
    Log(LogLevel::kWarning, "socket policies have no effect: " + opened.error().message);
  }
  return {};
}

Status Runtime::BuildDataPath(const Config& config) {
  path_ = std::make_unique<DataPath>(config.workers);
  path_->flow_entries = std::bit_ceil(config.flow_cache);
  path_->ike_bypass = config.ike_bypass;
  path_->pass_ether_types.Set(config.pass_ether_types);
  path_->busy_poll_us = config.busy_poll_us;
  pools_ = std::make_unique<PacketPools>(config.small_packets, config.jumbo_packets,
                                         LargePackets(config));
  const LinkBuilder builder{.path = path_.get(),
                            .pools = pools_.get(),
                            .workers = config.workers,
                            .engines = &engines_,
                            .keeper = Keeper()};
  for (const DeviceConfig& device : config.devices) {
    auto link = builder.Make(device);
    if (!link) return link.error();
    links_.push_back(*std::move(link));
  }
  return {};
}

Status Runtime::StartWorkers(uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    workers_.push_back(std::make_unique<Worker>(path_.get(), i, pools_.get(), &engines_, &clock_));
    workers_.back()->Start();
  }
  for (const auto& link : links_) link->wire.port->ResumeReceiving();
  for (const auto& link : links_) {
    if (link->config.persist) CYGNET_RETURN_IF_ERROR(link->host->Keep());
  }
  return {};
}

Status Runtime::Build(const Config& config, Cryptography cryptography) {
  CheckKeyMemory();
  CYGNET_RETURN_IF_ERROR(CheckMayUseWires(config));
  CYGNET_RETURN_IF_ERROR(OpenKernel());
  Use(std::move(cryptography));
  xfrm_ = std::make_unique<XfrmServer>(poller_.get(), XfrmServerOptions{});
  const MissingFile missing = HostInterfaceStayed(config);  // before links create theirs
  if (Keeper() == nullptr) ForgetKept();
  CYGNET_RETURN_IF_ERROR(BuildDataPath(config));
  CYGNET_RETURN_IF_ERROR(OpenLedger(config.ledger));
  StartAudit(config.audit);
  CYGNET_RETURN_IF_ERROR(OpenNumbers(config.numbers));
  CYGNET_RETURN_IF_ERROR(OpenCluster(config.cluster));
  BuildControl(config);
  control_->HoldCarriers();  // until the SAs of the process before are back
  CYGNET_RETURN_IF_ERROR(AddTunnels(config));
  CYGNET_RETURN_IF_ERROR(OpenInside(config));
  CYGNET_RETURN_IF_ERROR(TakeSelfTests(config));
  CYGNET_RETURN_IF_ERROR(WatchWires());
  control_->SetUnmetPolicies(UnmetPolicies::kBlock);  // policies that were in force stay closed
  CYGNET_RETURN_IF_ERROR(OpenRestartLog(missing));
  control_->SetUnmetPolicies(UnmetPolicies::kRefused);
  control_->ShowCarriers();
  StartSharing();
  WatchFiles();
  StartServers();
  CYGNET_RETURN_IF_ERROR(WatchEvents());
  WatchKernelXfrm();
  ForgetKept();  // what nobody took
  CYGNET_RETURN_IF_ERROR(StartWorkers(config.workers));
  return StartCluster();
}

// Names the missing capability at once, before some socket fails to open.
Status Runtime::CheckMayUseWires(const Config& config) {
  const bool needed = std::any_of(config.devices.begin(), config.devices.end(),
                                  [](const DeviceConfig& device) { return device.owns_interface; });
  const UniqueFd fd(needed ? socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) : -1);
  if (!needed || fd.valid() || errno != EPERM) return {};
  return MakeError(Errc::kPermission,
                   "cygnetd needs CAP_NET_RAW in the user namespace that owns this network "
                   "namespace, for the wire interfaces");
}

void Runtime::Use(Cryptography cryptography) {
  fips_ = std::move(cryptography.fips);
  engines_ = std::move(cryptography.engines);
  if (!fips_->enforced()) engines_.RunSelfTests();  // in FIPS mode, the check has run them
  fips_->SetEngines(&engines_);
  Log(LogLevel::kInfo, fmt::format("FIPS mode {}: {}", config_.fips.mode,
                                   fips_->enforced() ? "in force" : "not in force"));
  for (uint32_t i = 0; i < engines_.size(); ++i) {
    const EngineInfo& info = *engines_[i].info;
    Log(LogLevel::kInfo, fmt::format("crypto engine {}: {}: {}", i + 1, info.name, info.help));
  }
}

std::string Runtime::Summary() const {
  std::string devices;
  for (const auto& link : links_) {
    devices += fmt::format("{}{} on {}", devices.empty() ? "" : ", ", link->config.name,
                           link->config.wire);
  }
  return fmt::format("{}; {} worker{}", devices, workers_.size(), workers_.size() == 1 ? "" : "s");
}

// A hanging worker holds its packets: let the watchdog restart us.
bool Runtime::WorkersTurn(uint64_t now_ns) const {
  constexpr uint64_t kHangsMs = 3000;  // a healthy worker turns at least once a second
  return std::all_of(workers_.begin(), workers_.end(), [&](const auto& worker) {
    const uint64_t last = worker->last_turn_ms();
    return last == 0 || now_ns / 1'000'000 < last + kHangsMs;
  });
}

void Runtime::Run(Signals* signals, ServiceManager* manager) {
  constexpr uint64_t kTickNs = 1'000'000'000;
  constexpr uint64_t kAeventNs = 100'000'000;
  const int wait_ms = cluster_ != nullptr ? 20 : 100;
  uint64_t next_tick = clock_.MonotonicNs() + kTickNs;
  uint64_t next_aevents = 0;
  uint64_t next_sign = 0;
  while (signals->stop == 0) {
    if (std::exchange(signals->reload, 0) != 0) ReloadBySignal(*signals);
    path_->control_bell.Arm();
    ClusterTurn();
    control_->OnBell();  // a ring from here on ends the wait below
    FollowSelfTests();
    bool more = control_->DoSome();
    if (inside_ != nullptr) more = inside_->DoSome() || more;
    if (kept_sas_ != nullptr) more = kept_sas_->DoSome() || more;
    more = ShareSome() || more;
    audit_->Flush();
    path_->quiescence.Collect();
    poller_->RunOnce(more ? 0 : wait_ms);
    path_->control_bell.Disarm();
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
      if (inside_ != nullptr) inside_->Tick();
      if (kept_sas_ != nullptr) kept_sas_->Tick();
      if (cluster_sas_ != nullptr) cluster_sas_->Tick();
      NotifyKernelXfrm();
      LookAtFiles();
      audit_->Tick();
      LogLeftOut();
    }
  }
  EndCluster(*signals);
  if (restart_log_ == nullptr) return;
  restart_log_->Stop(signals->restart != 0 ? RestartLog::Next::kProcess
                                           : RestartLog::Next::kNobody);
}

Runtime::~Runtime() {
  if (inside_ != nullptr) inside_->Shut();
  for (auto& link : links_) link->wire.port->PauseReceiving();
  for (auto& worker : workers_) worker->Stop();
  if (kept_sas_ != nullptr && control_ != nullptr) {
    control_->TakeBackNumbers();
    kept_sas_->Stop();
  }
  CloseCluster();
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
  if (poller_ && inside_) poller_->Remove(inside_->event_fd());
  control_.reset();  // keys leave the devices
  restart_log_.reset();
  number_file_.reset();
  cluster_store_.reset();
  memory_numbers_.reset();
  ledger_file_.reset();
  xfrm_.reset();
  workers_.clear();
  inside_.reset();
  RemoveTunnels();
  links_.clear();  // ends the devices' threads, whose guards use the path
  if (path_) path_->interfaces.clear();
}

}  // namespace cygnet
