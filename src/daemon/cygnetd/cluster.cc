// A Runtime's cluster: the number store in etcd, the node's thread, and what connects them with the
// control plane.
#include <fmt/format.h>
#include <sys/epoll.h>

#include <cstdlib>
#include <utility>

#include "base/key_material.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text_file.h"
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

Result<KeyMaterial> ReadSecret(const std::string& path) {
  auto text = ReadOwnFile(path);
  if (!text) return text.error();
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text->data()),
                                       text->size());
  const bool fits = bytes.size() >= kNumberSecretBytes && bytes.size() <= KeyMaterial::kMaxBytes;
  Result<KeyMaterial> secret = MakeError(
      Errc::kInvalid, fmt::format("it has {} bytes; a cluster's secret has {} to {} random bytes",
                                  bytes.size(), kNumberSecretBytes, KeyMaterial::kMaxBytes));
  if (fits) secret = KeyMaterial(bytes);
  SecureWipe(text->data(), text->size());
  return secret;
}

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
  if (const auto secret = ReadSecret(config.secret_file); !secret) {
    return In("cluster.secret_file", secret.error());
  }
  if (!ClusterStatePath(config).empty()) return {};
  return MakeError(Errc::kInvalid, "[cluster] needs state_file (or systemd's StateDirectory=)");
}

// The store of numbers, before any SA exists. The node's thread follows in StartCluster.
Status Runtime::OpenCluster(const ClusterConfig& config) {
  if (config.name.empty()) return {};
  const auto secret = ReadSecret(config.secret_file);
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
  return {};
}

// REQUIRES: SAs and policies of an earlier process are back, and workers run.
Status Runtime::StartCluster() {
  if (cluster_store_ == nullptr) return {};
  auto node = MakeClusterThread(config_.cluster, incarnation_);
  if (!node) return In("cluster", node.error());
  cluster_node_ = *std::move(node);
  group_store_ = std::make_unique<StoreOfGroups>(cluster_store_.get());
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
      .record = [this](const std::string& group, const std::string& event,
                       const std::string& text) { audit_->Cluster(group, event, text); },
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

void Runtime::EndCluster(const Signals& signals) {
  if (cluster_ == nullptr) return;
  cluster_->Stop(signals.restart != 0 ? ClusterControl::End::kRestart : ClusterControl::End::kStop);
}

// REQUIRES: no worker runs any more. The store stays until the control plane has ended.
void Runtime::CloseCluster() {
  if (control_ != nullptr) control_->SetCluster(nullptr);
  cluster_.reset();
  if (poller_ && cluster_node_) poller_->Remove(cluster_node_->event_fd());
  cluster_node_.reset();
}

std::vector<DoctorRow> Runtime::CheckCluster() const {
  return cluster_ != nullptr ? cluster_->Doctor() : std::vector<DoctorRow>{};
}

}  // namespace cygnet
