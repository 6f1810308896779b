// NextHops: the next hop of outer packets, kept once per far end and neighbour, however many SAs
// share them. The kernel's tables are queried once; an event causes a new query only for what it
// names. Anybody on the wire can cause events (spoofed ARP, router advertisements): for a neighbour
// that no SA uses, one costs a hash look-up; for an unchanged address, a comparison. Queries and
// notifications are done in parts (DoSome).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "base/huge_memory.h"
#include "base/numbered_map.h"
#include "base/quiescence.h"
#include "base/rcu_hash.h"
#include "control/host_network.h"
#include "sa/sa.h"

namespace cygnet {

// Control thread. Times are monotonic nanoseconds.
class NextHops {
 public:
  // Queries to the host's kernel.
  struct Host {
    RouteLookup route;
    // The same for packets with a mark; empty: marks are ignored.
    std::function<std::optional<EgressRoute>(const IpAddress&, IpFamily, uint32_t mark)>
        marked_route{};
    std::function<std::optional<ResolvedHop>(const EgressRoute&, IpFamily)> neighbour;
    std::function<void(int32_t, const IpAddress&, IpFamily)> probe;
    // The number of our device with this ifindex; nullopt: not ours.
    std::function<std::optional<uint8_t>(int32_t)> device_of;
    // Called when an SA has got its first next hop.
    std::function<void()> on_first{};
  };
  // Amount of work since the start.
  struct Work {
    uint64_t routes_asked = 0;
    uint64_t neighbours_asked = 0;
    uint64_t probes = 0;
    uint64_t sas_notified = 0;
    bool operator==(const Work&) const = default;
  };

  explicit NextHops(Host host) : host_(std::move(host)) {}
  ~NextHops();
  NextHops(const NextHops&) = delete;
  NextHops& operator=(const NextHops&) = delete;

  // Gives the SA the next hop of its far end, now if known, and at each change until Forget. An
  // older next hop stays until a better one is known. For a far end that no SA had, AskNew asks, so
  // that a client need not wait for that: until then the next hop is unknown. It is asked at once
  // for an SA that has carried packets.
  void Follow(const Sa& sa, uint64_t now);
  // The same for one of the many SAs that a start brings back. A far end to which none has carried
  // packets is asked by DoSome, so that the start does not wait for it.
  void FollowRestored(const Sa& sa, uint64_t now);
  // Asks for the far ends that are new. Call it as soon as the client has its answer.
  void AskNew(uint64_t now);
  bool HasNew() const { return !new_.empty(); }
  void Forget(const Sa& sa);

  // Packets wait for the SA's next hop: asks again, as often as Probe allows.
  void Want(const Sa& sa, uint64_t now);

  void OnNeighbour(const NeighbourChange& change, uint64_t now);
  // Routes changed, or events were lost: queries everything again, in parts.
  void AskAgain() { ask_again_ = true; }
  // Does one part of the queued work. True: more work is ready now.
  bool DoSome(uint64_t now);

  const Work& done() const { return done_; }

 private:
  struct Destination;
  struct NeighbourKey {
    int32_t ifindex = 0;
    ParsedAddress at;
    bool operator==(const NeighbourKey& other) const {
      return ifindex == other.ifindex && at.family == other.at.family &&
             at.address == other.at.address;
    }
  };
  struct NeighbourHash {
    std::size_t operator()(const NeighbourKey& key) const {
      return SeededHash(std::hash<IpAddress>{}(key.at.address), static_cast<uint32_t>(key.ifindex));
    }
  };
  struct Neighbour {
    NeighbourKey key;
    std::optional<MacAddress> mac;
    // The destinations that use it, in the order in which they came.
    Destination* first = nullptr;
    Destination* last = nullptr;
    uint64_t asked_in = 0;  // the round of the kernel's last query
    uint64_t may_probe_at = 0;
    uint64_t may_notify_at = 0;
    bool to_notify = false;  // in `notifying_`
    bool notifies = false;   // some are notified, `notify_next` and those behind it are not yet
    Destination* notify_next = nullptr;
  };
  // The far end, and the mark by which the outer packets to it are routed (XFRMA_SET_MARK, and the
  // mark of a tunnel).
  struct FarEnd {
    ParsedAddress at;
    uint32_t mark = 0;
    bool operator==(const FarEnd& other) const {
      return at.family == other.at.family && at.address == other.at.address && mark == other.mark;
    }
    uint64_t Hash() const { return SeededHash(std::hash<IpAddress>{}(at.address), mark); }
  };
  // There are as many as SAs, or nearly.
  struct Destination : FromSlab<Destination> {
    void Add(OutboundSa* sa);
    // True: it was the last one.
    bool Remove(OutboundSa* sa);

    uint64_t id = 0;
    FarEnd to;
    Neighbour* neighbour = nullptr;
    Destination* before = nullptr;  // of the neighbour's
    Destination* behind = nullptr;
    uint64_t may_want_at = 0;
    OutboundSa* sa = nullptr;
    std::unique_ptr<std::set<OutboundSa*>> others;  // most have one
  };
  struct DestinationHash {
    uint64_t operator()(const Destination& destination) const { return destination.to.Hash(); }
  };
  static FarEnd FarEndOf(const Sa& sa);

  Destination* Find(const FarEnd& to) const;
  struct Entered {
    Destination* destination;
    bool is_new;
  };
  Entered Enter(const Sa& sa);
  void Ask(Destination* destination, uint64_t now);
  Neighbour* NeighbourOn(const EgressRoute& route, IpFamily family);
  void MoveTo(Destination* destination, Neighbour* neighbour);
  static void Join(Destination* destination, Neighbour* neighbour);
  static void Leave(Destination* destination, Neighbour* neighbour);
  void Learn(Neighbour* neighbour, const ResolvedHop& hop, uint64_t now);
  void Probe(Neighbour* neighbour, uint64_t now);
  void QueueNotification(Neighbour* neighbour);
  void Notify(const Destination& destination);
  void NotifySa(const Neighbour* neighbour, OutboundSa* sa);
  void AskIfNew(uint64_t id, uint64_t now);
  bool AskSome(uint64_t now);
  bool AskRestored(uint64_t now);
  bool NotifySome(uint64_t now);

  const Host host_;
  Quiescence quiescence_;  // no other thread reads the table
  RcuHash<Destination, DestinationHash> destinations_{&quiescence_};
  NumberedMap<Destination*> by_id_;
  // Ids; nobody has asked for them yet, and some may be gone.
  std::vector<uint64_t> new_;
  std::vector<uint64_t> restored_;
  std::unordered_map<NeighbourKey, std::unique_ptr<Neighbour>, NeighbourHash> neighbours_;
  std::deque<NeighbourKey> notifying_;
  uint64_t next_id_ = 1;
  bool ask_again_ = false;
  std::optional<uint64_t> ask_from_;  // id of the next destination in this round
  uint64_t round_ = 1;
  uint64_t round_began_ = 0;
  uint64_t next_round_at_ = 0;
  Work done_;
};

}  // namespace cygnet
