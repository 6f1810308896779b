#include "control/next_hops.h"

#include <algorithm>

namespace cygnet {
namespace {

constexpr uint64_t kMs = 1'000'000;
// Per turn. Two queries to the kernel take about 20 µs; notifying an SA takes far less.
constexpr int kAskedAtOnce = 32;
// Of new far ends: packets must not wait for long because one datagram adds many SAs.
constexpr std::size_t kMostNew = 32;
constexpr uint64_t kNotifiedAtOnce = 4096;
// Limits how often an often changing neighbour is reported to SAs and queried.
constexpr uint64_t kNotifyEveryNs = 100 * kMs;
constexpr uint64_t kProbeEveryNs = 1000 * kMs;
// Minimum interval between rounds over all destinations; longer rounds get longer intervals.
constexpr uint64_t kRoundsApartNs = 200 * kMs;
constexpr uint64_t kRoundsApartTimes = 4;

bool HasCarriedPackets(const Sa& sa) { return sa.lifetime().usage().packets != 0; }

}  // namespace

// --- SAs ---

NextHops::FarEnd NextHops::FarEndOf(const Sa& sa) {
  const SaSpec& spec = sa.spec();
  // As xfrm_smark_get: the bits that the SA sets, in front of those of the packet, which has the
  // SA's mark.
  const uint32_t set = spec.rare->set_mark_value & spec.rare->set_mark_mask;
  return {.at = {spec.daddr, spec.family},
          .mark = set | (spec.mark_value & spec.mark_mask & ~spec.rare->set_mark_mask)};
}

void NextHops::Destination::Add(OutboundSa* more) {
  if (sa == nullptr || sa == more) {
    sa = more;
    return;
  }
  if (others == nullptr) others = std::make_unique<std::set<OutboundSa*>>();
  others->insert(more);
}

bool NextHops::Destination::Remove(OutboundSa* gone) {
  if (others != nullptr && (others->erase(gone) != 0 || sa != gone)) {
    if (others->empty()) others = nullptr;
    return false;
  }
  if (sa == gone) sa = nullptr;
  if (sa == nullptr && others != nullptr) {
    sa = *others->begin();
    others->erase(others->begin());
    if (others->empty()) others = nullptr;
  }
  return sa == nullptr;
}

NextHops::~NextHops() {
  for (const auto& [id, destination] : by_id_) delete destination;
}

NextHops::Destination* NextHops::Find(const FarEnd& to) const {
  return destinations_.Find(to.Hash(), [&to](const Destination* d) { return d->to == to; });
}

NextHops::Entered NextHops::Enter(const Sa& sa) {
  const FarEnd to = FarEndOf(sa);
  Destination* destination = Find(to);
  const bool is_new = destination == nullptr;
  if (is_new) {
    destination = new Destination;
    destination->id = next_id_++;
    destination->to = to;
    destinations_.Insert(destination);
    by_id_.insert_or_assign(destination->id, destination);
  }
  destination->Add(sa.outbound());
  NotifySa(destination->neighbour, sa.outbound());
  return {destination, is_new};
}

void NextHops::Follow(const Sa& sa, uint64_t now) {
  const auto [destination, is_new] = Enter(sa);
  if (is_new) new_.push_back(destination->id);
  // One that continues another SA (MIGRATE) has packets on their way.
  if (HasCarriedPackets(sa) || new_.size() >= kMostNew) AskNew(now);
}

void NextHops::FollowRestored(const Sa& sa, uint64_t now) {
  const auto [destination, is_new] = Enter(sa);
  if (HasCarriedPackets(sa)) {
    AskIfNew(destination->id, now);
  } else if (is_new) {
    restored_.push_back(destination->id);
  }
}

void NextHops::AskIfNew(uint64_t id, uint64_t now) {
  const auto it = by_id_.find(id);
  if (it != by_id_.end() && it->second->neighbour == nullptr) Ask(it->second, now);
}

void NextHops::AskNew(uint64_t now) {
  for (const uint64_t id : new_) AskIfNew(id, now);
  new_.clear();
}

bool NextHops::AskRestored(uint64_t now) {
  for (int left = kAskedAtOnce; left > 0 && !restored_.empty(); --left) {
    const uint64_t id = restored_.back();
    restored_.pop_back();
    AskIfNew(id, now);
  }
  if (restored_.empty()) restored_ = {};
  return !restored_.empty();
}

void NextHops::Forget(const Sa& sa) {
  Destination* const destination = Find(FarEndOf(sa));
  if (destination == nullptr || !destination->Remove(sa.outbound())) return;
  MoveTo(destination, nullptr);
  by_id_.erase(destination->id);
  destinations_.Erase(destination);
  delete destination;
}

void NextHops::Want(const Sa& sa, uint64_t now) {
  Destination* const destination = Find(FarEndOf(sa));
  if (destination == nullptr) return;
  // Anybody whose packets go through the tunnel can cause this.
  if (now < destination->may_want_at) return;
  destination->may_want_at = now + kProbeEveryNs;
  if (destination->neighbour != nullptr) destination->neighbour->asked_in = 0;
  Ask(destination, now);
}

// --- What the kernel says ---

void NextHops::Ask(Destination* destination, uint64_t now) {
  ++done_.routes_asked;
  const auto& [address, family] = destination->to.at;
  const uint32_t mark = destination->to.mark;
  const auto route = mark != 0 && host_.marked_route ? host_.marked_route(address, family, mark)
                                                     : host_.route(address, family);
  // Without a route, the old next hop stays. Neighbours on other interfaces than ours do not count.
  if (!route.has_value() || !host_.device_of(route->ifindex).has_value()) return;
  Neighbour* neighbour = NeighbourOn(*route, family);
  if (neighbour != destination->neighbour) {
    MoveTo(destination, neighbour);
    Notify(*destination);
  }
  if (neighbour->asked_in == round_) return;
  neighbour->asked_in = round_;
  ++done_.neighbours_asked;
  const auto hop = host_.neighbour(*route, family);
  if (hop.has_value()) Learn(neighbour, *hop, now);
  if (!hop.has_value() || hop->stale) Probe(neighbour, now);
}

NextHops::Neighbour* NextHops::NeighbourOn(const EgressRoute& route, IpFamily family) {
  const NeighbourKey key{route.ifindex, {route.gateway, family}};
  std::unique_ptr<Neighbour>& neighbour = neighbours_[key];
  if (neighbour == nullptr) {
    neighbour = std::make_unique<Neighbour>();
    neighbour->key = key;
  }
  return neighbour.get();
}

void NextHops::Join(Destination* destination, Neighbour* neighbour) {
  destination->before = neighbour->last;
  (neighbour->last != nullptr ? neighbour->last->behind : neighbour->first) = destination;
  neighbour->last = destination;
}

void NextHops::Leave(Destination* destination, Neighbour* neighbour) {
  Destination* const before = std::exchange(destination->before, nullptr);
  Destination* const behind = std::exchange(destination->behind, nullptr);
  (before != nullptr ? before->behind : neighbour->first) = behind;
  (behind != nullptr ? behind->before : neighbour->last) = before;
  if (neighbour->notify_next == destination) neighbour->notify_next = behind;
}

// The neighbour is forgotten when its last destination leaves it.
void NextHops::MoveTo(Destination* destination, Neighbour* neighbour) {
  Neighbour* const before = std::exchange(destination->neighbour, neighbour);
  if (before != nullptr) Leave(destination, before);
  if (neighbour != nullptr) Join(destination, neighbour);
  if (before != nullptr && before->first == nullptr) neighbours_.erase(NeighbourKey(before->key));
}

void NextHops::OnNeighbour(const NeighbourChange& change, uint64_t now) {
  const auto it = neighbours_.find({change.ifindex, {change.address, change.family}});
  if (it == neighbours_.end()) return;
  if (change.hop.has_value()) Learn(it->second.get(), *change.hop, now);
  if (!change.hop.has_value() || change.hop->stale) Probe(it->second.get(), now);
}

void NextHops::Learn(Neighbour* neighbour, const ResolvedHop& hop, uint64_t now) {
  if (neighbour->mac == hop.mac) return;
  neighbour->mac = hop.mac;
  QueueNotification(neighbour);
  (void)NotifySome(now);  // the first change at once
}

void NextHops::Probe(Neighbour* neighbour, uint64_t now) {
  if (now < neighbour->may_probe_at) return;
  neighbour->may_probe_at = now + kProbeEveryNs;
  ++done_.probes;
  host_.probe(neighbour->key.ifindex, neighbour->key.at.address, neighbour->key.at.family);
}

// --- Notifying SAs ---

// A notification in progress starts over: the SAs already notified have an older address.
void NextHops::QueueNotification(Neighbour* neighbour) {
  neighbour->notifies = false;
  neighbour->notify_next = nullptr;
  if (std::exchange(neighbour->to_notify, true)) return;
  notifying_.push_back(neighbour->key);
}

void NextHops::NotifySa(const Neighbour* neighbour, OutboundSa* sa) {
  if (neighbour == nullptr || !neighbour->mac.has_value()) return;
  const auto device = host_.device_of(neighbour->key.ifindex);
  if (!device.has_value()) return;
  ++done_.sas_notified;
  MacAddress before;
  uint8_t interface;
  const bool first = !sa->next_hop.Get(&before, &interface);
  sa->next_hop.Set(*neighbour->mac, *device);
  if (first && host_.on_first) host_.on_first();
}

void NextHops::Notify(const Destination& destination) {
  NotifySa(destination.neighbour, destination.sa);
  if (destination.others == nullptr) return;
  for (OutboundSa* sa : *destination.others) NotifySa(destination.neighbour, sa);
}

bool NextHops::NotifySome(uint64_t now) {
  const uint64_t until = done_.sas_notified + kNotifiedAtOnce;
  std::size_t left = notifying_.size();
  for (; left > 0 && done_.sas_notified < until; --left) {
    const NeighbourKey key = notifying_.front();
    notifying_.pop_front();
    const auto it = neighbours_.find(key);
    if (it == neighbours_.end()) continue;  // no longer used by a destination
    Neighbour& neighbour = *it->second;
    if (!neighbour.notifies && now < neighbour.may_notify_at) {
      notifying_.push_back(key);
      continue;
    }
    if (!std::exchange(neighbour.notifies, true)) {
      neighbour.may_notify_at = now + kNotifyEveryNs;
      neighbour.notify_next = neighbour.first;
    }
    Destination*& next = neighbour.notify_next;
    for (; next != nullptr && done_.sas_notified < until; next = next->behind) Notify(*next);
    neighbour.to_notify = neighbour.notifies = next != nullptr;
    if (!neighbour.to_notify) continue;
    notifying_.push_front(key);
    return true;
  }
  return left > 0;
}

// --- Rounds ---

bool NextHops::AskSome(uint64_t now) {
  if (!ask_from_.has_value()) {
    if (!ask_again_ || now < next_round_at_) return false;
    ask_again_ = false;
    ask_from_ = 0;
    ++round_;
    round_began_ = now;
  }
  auto next = by_id_.lower_bound(*ask_from_);
  for (int left = kAskedAtOnce; left > 0 && next != by_id_.end(); --left, ++next) {
    Ask(next->second, now);
  }
  if (next != by_id_.end()) {
    ask_from_ = next->first;
    return true;
  }
  ask_from_.reset();
  next_round_at_ = now + std::max(kRoundsApartNs, kRoundsApartTimes * (now - round_began_));
  return false;
}

bool NextHops::DoSome(uint64_t now) {
  quiescence_.Collect();
  AskNew(now);
  const bool restored = AskRestored(now);
  const bool more = NotifySome(now);
  return AskSome(now) || more || restored;
}

}  // namespace cygnet
