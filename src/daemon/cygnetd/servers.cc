// The control plane and the two servers in front of it.
#include <net/if.h>
#include <sys/epoll.h>

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "daemon/cygnetd/check.h"
#include "daemon/cygnetd/runtime.h"
#include "daemon/cygnetd/settings.h"

namespace cygnet {
namespace {

ControlDevice ControlDeviceOf(Link* link, const FenceStatus* fence) {
  return {.name = link->config.name,
          .wire = link->config.wire,
          .driver = link->config.driver,
          .ifindex = link->host->ifindex(),
          .host_port = link->host.get(),
          .wire_port = link->wire.port.get(),
          .offload = link->wire.offload,
          .capture = &link->capture,
          .shadow = link->wire.offload != nullptr ? link->shadow.get() : nullptr,
          .fence = fence,
          .terms = TermsOf(link->config, link->wire.offload)};
}

// Who has knocked confirms a few microseconds after the answer, much sooner than a turn of the loop
// takes. Only processes with the capability can knock.
std::optional<Doorstep::Visitor> TakeSoon(Doorstep* doorstep) {
  constexpr std::chrono::microseconds kPause{30};
  static const bool one_cpu = std::thread::hardware_concurrency() == 1;
  const std::size_t before = doorstep->waiting();
  auto visitor = doorstep->Take();
  const bool knocked = doorstep->waiting() > before;
  const auto until = std::chrono::steady_clock::now() + kPause;
  while (!one_cpu && knocked && !visitor && std::chrono::steady_clock::now() < until) {
    visitor = doorstep->Take();
  }
  return visitor;
}

}  // namespace

// A device keeps its name of the configuration, however the host renames its interface.
InterfaceNames Runtime::NamesOfInterfaces() const {
  const auto name_of = [this](int32_t number) -> std::string {
    for (const auto& link : links_) {
      if (link->host->ifindex() == number) return link->config.name;
    }
    char name[IF_NAMESIZE] = {};
    return if_indextoname(static_cast<unsigned>(number), name) != nullptr ? name : "";
  };
  const auto number_of = [this](const std::string& name) {
    for (const auto& link : links_) {
      if (link->config.name == name) return static_cast<int32_t>(link->host->ifindex());
    }
    return static_cast<int32_t>(if_nametoindex(name.c_str()));
  };
  return {.name_of = name_of, .number_of = number_of};
}

void Runtime::BuildControl(const Config& config) {
  if (const std::string path = RestartPath(config); !path.empty()) {
    restart_log_ = std::make_unique<RestartLog>(path, NamesOfInterfaces());
  }
  OpenState();
  evidence_ = std::make_unique<EvidenceFiles>(EvidenceFolder(config.ledger));
  stored_.restart_log = restart_log_.get();
  stored_.ledger_file = ledger_file_.get();
  stored_.number_file = number_file_.get();
  stored_.audit = audit_.get();
  control_ = std::make_unique<ControlPlane>(ControlParams(config));
}

// REQUIRES: everything else that the control plane uses exists.
ControlPlaneParams Runtime::ControlParams(const Config& config) {
  ControlPlaneParams params;
  params.path = path_.get();
  params.clock = &clock_;
  params.engines = &engines_;
  params.look_aside = config.look_aside.mode;
  params.replay_window_min = config.ReplayWindowMin();
  params.network = network_.get();
  params.links = host_links_.get();
  params.sockets = sockets_.get();
  keepers_ = std::make_unique<StateKeeperChain>(
      std::vector<StateKeeper*>{kept_sas_.get(), cluster_sas_.get()});
  journals_ = std::make_unique<ChangeJournalChain>(
      std::vector<ChangeJournal*>{cluster_sas_.get(), restart_log_.get()});
  params.journal = journals_.get();
  params.numbers = number_file_.get();
  if (number_file_ == nullptr) params.numbers = memory_numbers_.get();
  if (cluster_store_ != nullptr) params.numbers = cluster_store_.get();
  if (config.cluster.inbound == ClusterInbound::kCheckpoint) {
    params.number_sizes.group_marks = GroupMarks::kReported;
  }
  params.keeper = keepers_.get();
  if (kept_sas_ != nullptr) {
    params.number_cells = [this](const Sa& sa) { return kept_sas_->Cells(sa); };
  }
  params.stored = &stored_;
  events_.PassOnTo(xfrm_.get());
  params.listener = &events_;
  params.larval_seconds = ReadAcquireExpires;
  params.settings = ReadXfrmSettings;
  params.pools = pools_.get();
  params.make_tunnel = [this](const TunnelSpec& spec, uint32_t mtu) {
    return MakeTunnel(spec, mtu);
  };
  for (const auto& link : links_) {
    params.devices.push_back(ControlDeviceOf(link.get(), fence_->status(link->config.name)));
    params.devices.back().host_side = [host = link->host.get()]() -> HostSideReport {
      const HostPresence presence = host->presence();
      return {.state = std::string(Name(presence)),
              .explanation = Explain(presence, std::string(host->name()))};
    };
    if (link->config.inside.empty()) continue;
    params.devices.back().inside = [this, name = link->config.name] { return InsideOf(name); };
  }
  for (const PlacementRuleConfig& rule : config.placement) {
    params.rules.push_back(RuleOf(rule, params.devices));
  }
  params.scheduler = config.scheduler;
  params.ledger = ledger_;
  params.fips = fips_.get();
  params.audit = audit_.get();
  params.evidence = evidence_.get();
  params.reload = [this] { return Reload(); };
  params.doctor = [this] { return Doctor(); };
  return params;
}

void Runtime::StartServers() {
  xfrm_->SetClientObserver(
      [this](const ClientRecord& record, const PeerId& peer) { audit_->Client(record, peer); });
  xfrm_->SetAfterAnswer([this] { control_->OnAnswered(); });
  xfrm_->SetLinkControl(&control_->tunnel_requests());
  xfrm_->Start(control_.get());
  operator_ = std::make_unique<OperatorServer>(poller_.get(), control_.get());
  operator_->SetSources({.events = &events_, .loads = [this] {
                           std::vector<WorkerLoad::Sums> loads;
                           for (const auto& worker : workers_) loads.push_back(worker->load());
                           return loads;
                         }});
  operator_->SetOrderObserver([this](const std::string& request, uint32_t uid, int32_t pid) {
    audit_->Command(request, uid, pid);
  });
}

// From here on, clients are let in and events are handled.
Status Runtime::WatchEvents() {
  CYGNET_RETURN_IF_ERROR(poller_->Add(doorstep_->fd(), EPOLLIN, [this](uint32_t) {
    LetIn(TakeSoon(doorstep_.get()));
    poller_->ExpectMore(std::chrono::microseconds(50));  // the visitor's next step
  }));
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

}  // namespace cygnet
