#include "daemon/cluster/cluster_thread.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/errno_error.h"
#include "base/log.h"
#include "daemon/cluster/boot_clock.h"
#include "daemon/cluster/cluster_secret.h"
#include "daemon/cluster/heartbeat.h"
#include "daemon/cluster/heartbeat_socket.h"
#include "daemon/cluster/ownership.h"
#include "daemon/cluster/store_link.h"
#include "daemon/cluster/virtual_addresses.h"

namespace cygnet {
namespace {

constexpr int kTurnMs = 10;
constexpr int kNice = -10;
// Datagrams of a turn: who floods the port does not keep this thread.
constexpr int kMaxDatagrams = 256;
// As Ownership waits. Workers go on by themselves, whatever happens to this thread.
constexpr uint32_t kHoldMs = 500;
constexpr uint64_t kRefusedNs = 60'000 * kMsNs;
// A start that does not learn who owns a group gives its addresses up after so long.
constexpr uint64_t kSettleNs = 1000 * kMsNs;

StoreLink::Params LinkParams(const ClusterConfig& config, Incarnation incarnation) {
  StoreLink::Params params{.etcd = {.endpoints = config.endpoints,
                                    .ca_file = config.ca_file,
                                    .certificate = config.certificate,
                                    .private_key = config.private_key},
                           .cluster = config.name,
                           .node = config.node,
                           .incarnation = incarnation,
                           .heartbeat = config.heartbeat,
                           .groups = {},
                           .entries = config.share == ClusterShare::kSas};
  for (const ClusterGroupConfig& group : config.groups) params.groups.push_back(group.name);
  return params;
}

// Events from the cluster's thread to the control thread.
class EventQueue {
 public:
  EventQueue() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { CYGNET_CHECK(fd_.valid()); }

  int fd() const { return fd_.get(); }
  void Push(ClusterEvent event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    (void)eventfd_write(fd_.get(), 1);
  }
  std::vector<ClusterEvent> Take() {
    const std::lock_guard lock(mutex_);
    eventfd_t ignored;
    (void)eventfd_read(fd_.get(), &ignored);
    return std::exchange(events_, {});
  }

 private:
  const UniqueFd fd_;
  std::mutex mutex_;
  std::vector<ClusterEvent> events_;  // guarded by mutex_
};

class ClusterThread final : public ClusterNode {
 public:
  struct Parts {
    KeyMaterial key;
    HeartbeatSocket socket;
    VirtualAddresses addresses;
    TrafficHold* hold = nullptr;
  };
  ClusterThread(const ClusterConfig& config, Incarnation incarnation, Parts parts);
  ~ClusterThread() override;

  int event_fd() const override { return events_.fd(); }
  std::vector<ClusterEvent> Take() override { return events_.Take(); }
  void Alive() override { alive_ns_.store(BootNs(), std::memory_order_relaxed); }
  void SetBlind(bool blind) override { blind_.store(blind, std::memory_order_relaxed); }
  Status Offer(GroupId group, const std::string& node) override;
  Status Give(GroupId group, const std::string& node) override;
  void Pause(uint32_t ms) override;
  std::vector<Peer> peers() const override;
  std::vector<GroupOwner> owners() const override;
  bool has_lease() const override;

 private:
  void Run();
  void Turn(uint64_t now_ns);
  void Hear(uint64_t heard_ns, uint64_t now_ns);
  void Refuse(uint64_t now_ns);
  void Decide(uint64_t now_ns);
  void Do(const Ownership::Step& step, uint64_t now_ns);
  bool MayHold() const;
  void Hold(GroupId group);
  void Beat(uint64_t now_ns);
  void Settle(uint64_t now_ns);
  void Leave();
  void Report(const Status& status);

  const ClusterConfig config_;
  const KeyMaterial key_;
  TrafficHold* const hold_;
  EventQueue events_;
  std::atomic<uint64_t> alive_ns_{0};
  std::atomic<bool> blind_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  // Guarded by mutex_, which the thread leaves only while it waits.
  HeartbeatSocket socket_;
  VirtualAddresses addresses_;
  Ownership ownership_;
  StoreLink link_;
  std::vector<bool> settled_;  // addresses that an earlier start left are kept, or taken away
  uint64_t start_ns_ = BootNs();
  uint64_t turn_ns_ = 0;
  uint64_t beat_ns_ = 0;
  uint64_t sequence_ = 0;
  uint64_t refused_ = 0;  // heartbeats
  uint64_t refused_ns_ = 0;
  bool paused_ = false;
  std::string trouble_;  // that was logged last
  std::thread thread_;
};

ClusterThread::ClusterThread(const ClusterConfig& config, Incarnation incarnation, Parts parts)
    : config_(config),
      key_(std::move(parts.key)),
      hold_(parts.hold),
      blind_(config.share == ClusterShare::kSas),
      socket_(std::move(parts.socket)),
      addresses_(std::move(parts.addresses)),
      ownership_(config.node, incarnation, config.groups),
      link_(LinkParams(config, incarnation), &ownership_,
            [this](ClusterEvent event) { events_.Push(std::move(event)); }),
      settled_(config.groups.size()) {
  // Signals are for the control thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "cygnet-cluster");
}

ClusterThread::~ClusterThread() {
  stop_.store(true);
  link_.Wake();
  thread_.join();
}

Status ClusterThread::Give(GroupId group, const std::string& node) {
  const std::lock_guard lock(mutex_);
  CYGNET_RETURN_IF_ERROR(ownership_.Give(group, node, BootNs()));
  link_.Wake();
  return {};
}

Status ClusterThread::Offer(GroupId group, const std::string& node) {
  const std::lock_guard lock(mutex_);
  CYGNET_RETURN_IF_ERROR(ownership_.Offer(group, node, BootNs()));
  link_.Wake();
  return {};
}

void ClusterThread::Pause(uint32_t ms) {
  const std::lock_guard lock(mutex_);
  paused_ = true;
  ownership_.Pause(ms);
  // This process may end before its next turn, and a datagram may get lost.
  for (int times = 0; times < 3; ++times) Beat(BootNs());
}

std::vector<ClusterNode::Peer> ClusterThread::peers() const {
  const std::lock_guard lock(mutex_);
  const uint64_t now_ns = BootNs();
  std::vector<Peer> peers;
  for (const auto& [name, peer] : ownership_.peers().all()) {
    peers.push_back({.name = name,
                     .address = peer.address,
                     .heard = peer.IsHeard(now_ns),
                     .silent_ns = now_ns - std::max(peer.heard_ns, start_ns_)});
  }
  return peers;
}

std::vector<GroupOwner> ClusterThread::owners() const {
  const std::lock_guard lock(mutex_);
  std::vector<GroupOwner> owners;
  for (GroupId id = 1; id <= config_.groups.size(); ++id) owners.push_back(ownership_.owner(id));
  return owners;
}

bool ClusterThread::has_lease() const {
  const std::lock_guard lock(mutex_);
  return ownership_.HasLease(BootNs());
}

void ClusterThread::Run() {
  // A heartbeat that is late because the host is busy is a take-over. Without the right to it,
  // this thread waits like others.
  (void)setpriority(PRIO_PROCESS, 0, kNice);
  while (!stop_.load()) {
    link_.Wait(socket_.fd(), kTurnMs);
    const std::lock_guard lock(mutex_);
    Turn(BootNs());
  }
  const std::lock_guard lock(mutex_);
  Leave();
}

void ClusterThread::Turn(uint64_t now_ns) {
  // Before anything else: a process that was stopped may have lost its lease. What is in the socket
  // then is old; it says who took over, not who is there now.
  const bool stopped = turn_ns_ != 0 && now_ns > turn_ns_ + kSilenceNs;
  Decide(now_ns);
  Hear(stopped ? turn_ns_ : now_ns, now_ns);
  turn_ns_ = now_ns;
  if (const uint64_t alive_ns = alive_ns_.load(std::memory_order_relaxed); alive_ns != 0) {
    ownership_.OnAlive(alive_ns);
  }
  ownership_.OnBlind(blind_.load(std::memory_order_relaxed));
  link_.Tick(now_ns);
  link_.Work();
  Decide(BootNs());
  Settle(now_ns);
  if (now_ns >= beat_ns_ + kBeatNs) Beat(now_ns);
  Report(addresses_.Tick(now_ns));
}

void ClusterThread::Hear(uint64_t heard_ns, uint64_t now_ns) {
  for (int left = kMaxDatagrams; left > 0; --left) {
    const std::span<const uint8_t> datagram = socket_.Receive();
    if (datagram.empty()) return;
    const auto heartbeat = DecodeHeartbeat(datagram, key_);
    if (heartbeat.has_value() && heartbeat->cluster == config_.name) {
      (void)ownership_.OnHeartbeat(*heartbeat, heard_ns, now_ns);
    } else {
      Refuse(now_ns);
    }
  }
}

void ClusterThread::Refuse(uint64_t now_ns) {
  ++refused_;
  if (refused_ns_ != 0 && now_ns < refused_ns_ + kRefusedNs) return;
  refused_ns_ = now_ns;
  Log(LogLevel::kWarning, "cluster: " + std::to_string(refused_) +
                              " heartbeats were refused since the start, the last one from " +
                              socket_.from() +
                              ": not from this cluster, or from a node with another secret_file");
}

void ClusterThread::Decide(uint64_t now_ns) {
  ownership_.Tick(now_ns);
  for (const Ownership::Step& step : ownership_.TakeSteps()) Do(step, now_ns);
}

void ClusterThread::Do(const Ownership::Step& step, uint64_t now_ns) {
  switch (step.kind) {
    case Ownership::Step::Kind::kWrite:
      link_.Write(step);
      return;
    case Ownership::Step::Kind::kAddresses:
      settled_[step.group - 1] = true;
      Report(addresses_.Up(step.group, now_ns));
      return;
    case Ownership::Step::Kind::kNoAddresses:
      Report(addresses_.Down(step.group));
      return;
    case Ownership::Step::Kind::kHold:
      Hold(step.group);
      return;
    case Ownership::Step::Kind::kRelease:
      Report(addresses_.Down(step.group));
      if (hold_ != nullptr) hold_->Release();
      return;
    case Ownership::Step::Kind::kTell:
      events_.Push(step.event);
      return;
    case Ownership::Step::Kind::kBeat:
      Beat(now_ns);
      return;
    case Ownership::Step::Kind::kResync:
      link_.Resync();
      return;
  }
}

// Heartbeats and the store's answers must not wait for what they bring.
bool ClusterThread::MayHold() const {
  const std::string& store = link_.local_address();
  const bool is_v6 = store.find(':') != std::string::npos;
  for (const std::string& address :
       {config_.heartbeat, is_v6 ? "[" + store + "]:1" : store + ":1"}) {
    const auto parsed = ParseSocketAddress(address);
    const std::string interface = parsed.has_value() ? InterfaceOf(*parsed) : std::string();
    if (interface.empty() || hold_->IsDevice(interface)) return false;
  }
  return true;
}

// Announcements on a device's interface go first: they pass the workers, as all that the host
// sends. Until the other addresses are announced, the host gets no packet to send there.
void ClusterThread::Hold(GroupId group) {
  settled_[group - 1] = true;
  if (hold_ == nullptr) return;
  if (!MayHold()) {
    Log(LogLevel::kInfo, "cluster: group " + config_.groups[group - 1].name +
                             ": its owner moves it here; packets are not held, because heartbeats "
                             "or the store use an interface of a [[device]]");
    return;
  }
  Log(LogLevel::kInfo, "cluster: group " + config_.groups[group - 1].name +
                           ": its owner moves it here; this node holds packets until it has its "
                           "numbers");
  hold_->HoldWires(kHoldMs);
  Report(addresses_.UpFirst(group,
                            [this](const std::string& device) { return hold_->IsDevice(device); }));
  hold_->HoldHosts(kHoldMs);
}

void ClusterThread::Beat(uint64_t now_ns) {
  // Whoever hears nothing takes over: so nothing is said while the control thread stands still.
  if (!ownership_.IsAlive(now_ns)) return;
  beat_ns_ = now_ns;
  Heartbeat beat = ownership_.Beat(now_ns);
  beat.cluster = config_.name;
  beat.sequence = ++sequence_;
  beat.boot_ns = now_ns;
  const std::vector<uint8_t> datagram = EncodeHeartbeat(beat, key_);
  for (const auto& [name, peer] : ownership_.peers().all()) {
    const auto address = ParseSocketAddress(peer.address);
    if (address.has_value()) socket_.Send(*address, datagram);
  }
}

// Addresses that an earlier start left on this host stay if its group still names this node.
void ClusterThread::Settle(uint64_t now_ns) {
  const bool late = now_ns >= start_ns_ + kSettleNs;
  if (!late && !link_.is_synced()) return;
  for (GroupId id = 1; id <= config_.groups.size(); ++id) {
    if (settled_[id - 1]) continue;
    if (!late && ownership_.owner(id).node == config_.node) continue;
    settled_[id - 1] = true;
    Report(addresses_.Down(id));
  }
}

void ClusterThread::Leave() {
  if (paused_) return;
  for (GroupId id = 1; id <= config_.groups.size(); ++id) {
    if (ownership_.Works(id) || ownership_.Holds(id)) Report(addresses_.Down(id));
  }
  link_.Leave();
}

void ClusterThread::Report(const Status& status) {
  const std::string trouble = status ? "" : status.error().message;
  if (trouble == std::exchange(trouble_, trouble)) return;
  if (!status) Log(LogLevel::kError, "cluster: virtual address: " + status.error().message);
}

}  // namespace

Result<std::unique_ptr<ClusterNode>> MakeClusterThread(const ClusterConfig& config,
                                                       Incarnation incarnation, TrafficHold* hold) {
  const auto secret = ReadClusterSecret(config.secret_file);
  if (!secret) return secret.error();
  auto socket = HeartbeatSocket::Open(config.heartbeat);
  if (!socket) return socket.error();
  auto addresses = VirtualAddresses::Open(config.groups);
  if (!addresses) return addresses.error();
  return std::unique_ptr<ClusterNode>(
      std::make_unique<ClusterThread>(config, incarnation,
                                      ClusterThread::Parts{.key = HeartbeatKey(*secret),
                                                           .socket = *std::move(socket),
                                                           .addresses = *std::move(addresses),
                                                           .hold = hold}));
}

}  // namespace cygnet
