// A Runtime's cluster: the number store in etcd, the node's thread, and what connects them with the
// control plane.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/log.h"
#include "base/random.h"
#include "daemon/cluster/cluster_secret.h"
#include "daemon/cluster/cluster_thread.h"
#include "daemon/cygnetd/check.h"
#include "daemon/cygnetd/runtime.h"

namespace cygnet {
namespace {

// What the control of a cluster needs of its store.
class StoreOfGroups final : public GroupStore {
 public:
  explicit StoreOfGroups(ClusterStore* store) : store_(*store) {}
  void SetOwned(GroupId group, int64_t owner_revision) override {
    store_.SetOwned(group, owner_revision);
  }
  void SetNotOwned(GroupId group) override { store_.SetNotOwned(group); }
  void Probe() override { store_.Probe(); }
  bool is_away() const override { return store_.is_away(); }
  std::string fault() const override { return store_.fault(); }
  uint64_t era() const override { return store_.era(); }
  std::optional<std::string> TakeWentBack() override { return store_.TakeWentBack(); }

 private:
  ClusterStore& store_;
};

// Packets wait in the queues of the kernel and of devices while a group comes.
class WorkerHold final : public TrafficHold {
 public:
  WorkerHold(std::vector<std::string> devices, const std::vector<std::unique_ptr<Worker>>* workers,
             const Clock* clock)
      : devices_(std::move(devices)), workers_(*workers), clock_(*clock) {}

  bool IsDevice(const std::string& interface) const override {
    return std::any_of(devices_.begin(), devices_.end(), [&interface](const std::string& device) {
      // VLANs and bridges on it
      const std::string lower = "/sys/class/net/" + interface + "/lower_" + device;
      return interface == device || access(lower.c_str(), F_OK) == 0;
    });
  }
  void HoldWires(uint32_t ms) override {
    for (const auto& worker : workers_) worker->HoldWires(NowMs() + ms);
  }
  void HoldHosts(uint32_t ms) override {
    for (const auto& worker : workers_) worker->HoldHosts(NowMs() + ms);
  }
  void Release() override {
    for (const auto& worker : workers_) {
      worker->HoldWires(0);
      worker->HoldHosts(0);
    }
  }

 private:
  uint64_t NowMs() const { return clock_.MonotonicNs() / 1'000'000; }

  const std::vector<std::string> devices_;
  const std::vector<std::unique_ptr<Worker>>& workers_;
  const Clock& clock_;
};

Incarnation NewIncarnation() {
  for (;;) {
    if (const uint64_t word = RandomWord(); word != 0) return word;
  }
}

}  // namespace

std::string ClusterStatePath(const ClusterConfig& config) {
  if (config.name.empty()) return {};
  if (!config.state_file.empty()) return config.state_file;
  const char* folder = std::getenv("STATE_DIRECTORY");
  return folder != nullptr ? std::string(folder) + "/cluster" : std::string();
}

Status CheckClusterFiles(const ClusterConfig& config) {
  if (config.name.empty()) return {};
  if (const auto secret = ReadClusterSecret(config.secret_file); !secret) {
    return In("cluster.secret_file", secret.error());
  }
  if (!ClusterStatePath(config).empty()) return {};
  return MakeError(Errc::kInvalid, "[cluster] needs state_file (or systemd's StateDirectory=)");
}

// The store of numbers, before any SA exists. The node's thread follows in StartCluster.
Status Runtime::OpenCluster(const ClusterConfig& config) {
  if (config.name.empty()) return {};
  const auto secret = ReadClusterSecret(config.secret_file);
  if (!secret) return In("cluster.secret_file", secret.error());
  incarnation_ = NewIncarnation();
  auto store = ClusterStore::Open({.etcd = {.endpoints = config.endpoints,
                                            .ca_file = config.ca_file,
                                            .certificate = config.certificate,
                                            .private_key = config.private_key},
                                   .cluster = config.name,
                                   .node = config.node,
                                   .incarnation = incarnation_,
                                   .state_file = ClusterStatePath(config),
                                   .groups = config.groups,
                                   .while_waiting =
                                       [this] {
                                         if (cluster_node_ != nullptr) cluster_node_->Alive();
                                       }},
                                  *secret, &clock_);
  if (!store) return In("cluster", store.error());
  cluster_store_ = *std::move(store);
  return OpenSharing(config, *secret);
}

// Whole SAs and policies in the store.
Status Runtime::OpenSharing(const ClusterConfig& config, const KeyMaterial& secret) {
  if (config.share != ClusterShare::kSas) return {};
  CYGNET_RETURN_IF_ERROR(CheckSharing(config, fips_->enforced()));
  auto keys = WrappingKeys::Load(config.wrapping_keys);
  if (!keys) return In("cluster.wrapping_keys", keys.error());
  cluster_sas_ = std::make_unique<ClusterSas>(ClusterSas::Params{
      .entries = cluster_store_.get(),
      .clock = &clock_,
      .groups = GroupAddresses(config.groups),
      .seal = EntrySeal(*std::move(keys), config.name),
      .secret = secret.Clone(),
      .refused = [this](const std::string& text) { audit_->Cluster("", "refused", text); }});
  return {};
}

// REQUIRES: SAs and policies of an earlier process are back, and no client is let in.
void Runtime::StartSharing() {
  if (cluster_sas_ != nullptr) cluster_sas_->Start(control_.get());
}

// REQUIRES: SAs and policies of an earlier process are back, and workers run.
Status Runtime::StartCluster() {
  if (cluster_store_ == nullptr) return {};
  std::vector<std::string> devices;
  for (const DeviceConfig& device : config_.devices) devices.push_back(device.name);
  hold_ = std::make_unique<WorkerHold>(std::move(devices), &workers_, &clock_);
  auto node = MakeClusterThread(config_.cluster, incarnation_, hold_.get());
  if (!node) return In("cluster", node.error());
  cluster_node_ = *std::move(node);
  group_store_ = std::make_unique<StoreOfGroups>(cluster_store_.get());
  const auto share = [this](const ClusterEvent& event) {
    if (cluster_sas_ != nullptr) cluster_sas_->OnEvent(event);
  };
  cluster_ = std::make_unique<ClusterControl>(ClusterControl::Params{
      .config = config_.cluster,
      .node = cluster_node_.get(),
      .store = group_store_.get(),
      .numbers = &control_->numbers(),
      .clock = &clock_,
      .expire =
          [this](const Sa& sa) {
            const SaSpec& spec = sa.spec();
            (void)control_
                ->ExpireSa({.daddr = spec.daddr,
                            .spi = spec.spi,
                            .proto = spec.proto,
                            .family = spec.family},
                           /*hard=*/false)
                .has_value();
          },
      .resume = [this] { hold_->Release(); },
      .record = [this](const std::string& group, const std::string& event,
                       const std::string& text) { audit_->Cluster(group, event, text); },
      .on_event = share,
      .refused_entries =
          [this] { return cluster_sas_ != nullptr ? cluster_sas_->Report().refused_count : 0; },
      .why_blind = [this] { return cluster_sas_ != nullptr ? cluster_sas_->WhyBlind() : ""; },
      .on_use =
          [this](const std::string& group, uint64_t epoch, const std::string& why) {
            NoteGroup({.gained = true, .group = group, .epoch = epoch, .explanation = why});
          },
      .on_end =
          [this](const std::string& group, uint64_t epoch, const std::string& why) {
            NoteGroup({.gained = false, .group = group, .epoch = epoch, .explanation = why});
          }});
  control_->SetCluster(cluster_.get());
  return poller_->Add(cluster_node_->event_fd(), EPOLLIN, [this](uint32_t) { ClusterTurn(); });
}

void Runtime::NoteGroup(LedgerGroupLine line) {
  if (ledger_file_ == nullptr) return;
  line.cluster = config_.cluster.name;
  line.node = config_.cluster.node;
  line.incarnation = incarnation_;
  ledger_file_->GroupChanged(std::move(line));
}

void Runtime::ClusterTurn() {
  if (cluster_ == nullptr) return;
  const bool run = WorkersTurn(clock_.MonotonicNs());
  cluster_->Turn(run ? ClusterControl::Workers::kRun : ClusterControl::Workers::kHang);
}

// True: more is left.
bool Runtime::ShareSome() { return cluster_sas_ != nullptr && cluster_sas_->DoSome(); }

// Groups go to other nodes while workers still run. For a restart they stay: CloseCluster.
void Runtime::EndCluster(const Signals& signals) {
  if (cluster_sas_ != nullptr) cluster_sas_->Stop();
  restarts_ = signals.restart != 0;
  stops_ = !restarts_;
  if (cluster_ != nullptr && !restarts_) cluster_->Stop(ClusterControl::End::kStop);
}

// REQUIRES: no worker runs any more, and the numbers of SAs that are kept were written. The store
// stays until the control plane has ended.
void Runtime::CloseCluster() {
  if (cluster_ != nullptr && restarts_) cluster_->Stop(ClusterControl::End::kRestart);
  if (control_ != nullptr) control_->SetCluster(nullptr);
  cluster_.reset();
  if (poller_ && cluster_node_) poller_->Remove(cluster_node_->event_fd());
  cluster_node_.reset();
}

std::vector<DoctorRow> Runtime::CheckCluster() const {
  return cluster_ != nullptr ? cluster_->Doctor() : std::vector<DoctorRow>{};
}

}  // namespace cygnet
