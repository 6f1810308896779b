// OwnershipLab: several nodes that decide with the real Ownership, a store and a network in memory,
// and one clock. Each step is 10 ms.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/cluster/ownership.h"

namespace cygnet::test {

class OwnershipLab {
 public:
  struct Node {
    std::string name;
    Incarnation incarnation = 0;
    std::unique_ptr<Ownership> decides{};
    std::vector<ClusterEvent> events{};
    std::set<GroupId> addresses{};  // groups whose addresses are on this host
    bool holds = false;             // packets
    bool stopped = false;           // SIGSTOP, or dead
    bool hung = false;              // its control thread
    bool store_away = false;
    uint64_t key_until_ns = 0;  // when the store drops its node key
    uint64_t beat_ns = 0;
    uint64_t sequence = 0;
    int64_t told = 0;  // revision of the store up to which this node was told
    bool synced = false;
    std::vector<Heartbeat> inbox{};
  };

  explicit OwnershipLab(std::vector<ClusterGroupConfig> groups) : groups_(std::move(groups)) {
    owners_.resize(groups_.size());
  }

  Node& Start(const std::string& name) {
    Node& node = nodes_[name];
    node = Node{.name = name, .incarnation = ++incarnations_};
    node.decides = std::make_unique<Ownership>(name, node.incarnation, groups_);
    return node;
  }
  // As kill -9: the store keeps its key until the lease ends.
  void Kill(const std::string& name) { nodes_[name].stopped = true; }
  void Cut(const std::string& a, const std::string& b) { cut_.insert({a, b}), cut_.insert({b, a}); }
  // `to` does not hear `from` any more.
  void CutOneWay(const std::string& from, const std::string& to) { cut_.insert({from, to}); }
  void Heal() { cut_.clear(); }
  Node& node(const std::string& name) { return nodes_[name]; }
  const GroupOwner& owner(GroupId group = 1) const { return owners_[group - 1]; }
  uint64_t now_ns() const { return now_ns_; }

  void Run(uint64_t ms) {
    for (uint64_t end = now_ns_ + ms * kMsNs; now_ns_ < end;) {
      now_ns_ += 10 * kMsNs;
      for (auto& [name, node] : nodes_) {
        if (!node.stopped) Turn(&node);
      }
    }
  }
  // Runs until `name` works for the group; the time that it took, in ms.
  uint64_t RunUntilWorks(const std::string& name, GroupId group = 1, uint64_t at_most_ms = 20000) {
    const uint64_t start = now_ns_;
    while (!nodes_[name].decides->Works(group) && now_ns_ < start + at_most_ms * kMsNs) Run(10);
    return (now_ns_ - start) / kMsNs;
  }
  std::vector<std::string> WorkFor(GroupId group = 1) const {
    std::vector<std::string> names;
    for (const auto& [name, node] : nodes_) {
      if (!node.stopped && node.decides->Works(group)) names.push_back(name);
    }
    return names;
  }
  void Wipe() {
    for (GroupOwner& owner : owners_) owner = {};
    revision_ = 0;
    for (auto& [name, node] : nodes_) {
      node.key_until_ns = 0;
      node.told = 0;
      node.synced = false;
      node.decides->OnWentBack(now_ns_);
    }
  }

 private:
  static constexpr uint64_t kTtlNs = 3000 * kMsNs;

  void Turn(Node* node) {
    Ownership* decides = node->decides.get();
    decides->Tick(now_ns_);  // before anything is read, as the thread does
    Do(node);
    for (const Heartbeat& beat : std::exchange(node->inbox, {})) {
      decides->OnHeartbeat(beat, now_ns_, now_ns_);
    }
    if (!node->store_away) {
      node->key_until_ns = now_ns_ + kTtlNs;
      decides->OnLease(now_ns_ + kTtlNs - 500 * kMsNs);
      node->decides->OnStoreAnswer(now_ns_);
      Learn(node);
    }
    if (!node->hung) decides->OnAlive(now_ns_);
    decides->Tick(now_ns_);
    Do(node);
    if (now_ns_ >= node->beat_ns + kBeatNs) Beat(node);
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const ClusterGroupConfig& group : groups_) names.push_back(group.name);
    return names;
  }
  void Learn(Node* node) {
    for (auto& [name, other] : nodes_) {
      if (now_ns_ < other.key_until_ns) {
        node->decides->peers().Register(name, {other.incarnation, name, Names()}, now_ns_);
      } else {
        node->decides->peers().Unregister(name, now_ns_);
      }
    }
    for (GroupId id = 1; id <= groups_.size(); ++id) {
      node->decides->OnOwner(id, owners_[id - 1], revision_, now_ns_);
    }
    node->decides->OnSynced(now_ns_, now_ns_);
  }
  void Do(Node* node) {
    for (Ownership::Step& step : node->decides->TakeSteps()) {
      switch (step.kind) {
        case Ownership::Step::Kind::kWrite:
          Write(node, step);
          break;
        case Ownership::Step::Kind::kAddresses:
          node->addresses.insert(step.group);
          break;
        case Ownership::Step::Kind::kHold:
          node->holds = true;
          break;
        case Ownership::Step::Kind::kRelease:
          node->holds = false;
          node->addresses.erase(step.group);
          break;
        case Ownership::Step::Kind::kNoAddresses:
          node->addresses.erase(step.group);
          break;
        case Ownership::Step::Kind::kTell:
          node->events.push_back(step.event);
          break;
        case Ownership::Step::Kind::kBeat:
          Beat(node);
          break;
        case Ownership::Step::Kind::kResync:
          break;  // each turn reads all
      }
    }
  }
  void Write(Node* node, const Ownership::Step& step) {
    if (node->store_away) {
      node->decides->OnWriteFailed(step.group, "away", now_ns_);
      return;
    }
    GroupOwner& stored = owners_[step.group - 1];
    if (stored.revision == step.owner.revision) {
      stored = step.owner;
      stored.revision = ++revision_;
      ++changes;
    }
    node->decides->OnOwner(step.group, stored, revision_, now_ns_);
    Do(node);
  }
  void Beat(Node* node) {
    if (!node->decides->IsAlive(now_ns_)) return;
    node->beat_ns = now_ns_;
    Heartbeat beat = node->decides->Beat(now_ns_);
    beat.sequence = ++node->sequence;
    for (auto& [name, other] : nodes_) {
      if (name != node->name && !cut_.contains({node->name, name})) other.inbox.push_back(beat);
    }
  }

 public:
  int changes = 0;  // of owners, in the store

 private:
  const std::vector<ClusterGroupConfig> groups_;
  std::vector<GroupOwner> owners_;
  std::map<std::string, Node> nodes_;
  std::set<std::pair<std::string, std::string>> cut_;
  int64_t revision_ = 1;
  Incarnation incarnations_ = 100;
  uint64_t now_ns_ = 1'000'000 * kMsNs;
};

}  // namespace cygnet::test
