// Policies of single sockets (setsockopt IP_XFRM_POLICY, IPV6_XFRM_POLICY): what a key manager lets
// pass for its own messages, whatever the SPD says. The control thread changes them, workers look
// them up without locks, and pay one load where there are none.
//
// Packets do not tell of sockets. A policy is taken to be about what has the socket's protocol,
// port and addresses, and the caller sees to it that the packet is this host's own.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/quiescence.h"
#include "base/rcu_hash.h"
#include "net/flow_key.h"
#include "policy/policy_state.h"

namespace cygnet {

// Where a socket is, as far as packets show it. Of one that has no port there is nothing to show.
struct SocketEnds {
  IpAddress local;   // any: every address of the host
  IpAddress remote;  // of a connected one
  uint16_t local_port = 0;
  uint16_t remote_port = 0;             // 0: not connected
  IpFamily family = IpFamily::kUnspec;  // of the addresses
  bool both_families = false;           // an IPv6 socket for any address, that takes IPv4 too
  uint8_t proto = 0;
  int32_t ifindex = 0;  // bound to this interface; 0: to none
  bool operator==(const SocketEnds&) const = default;

  // A packet that the socket sent (kOut) or will get (kIn). A connected socket gets packets of its
  // peer alone, but may send to others.
  bool Has(PolicyDirection direction, const FlowKey& flow, int32_t flow_ifindex) const;
};

// A change that a client wants for one of its sockets.
struct SocketPolicyChange {
  uint64_t cookie = 0;                  // SO_COOKIE: no other socket has it until the next boot
  IpFamily family = IpFamily::kUnspec;  // of the socket
  uint8_t proto = 0;
  uint16_t port = 0;                 // that it is bound to; 0: to none yet
  bool retold = false;               // nothing has changed but, perhaps, where the socket is
  std::optional<PolicySpec> spec{};  // nullopt: neither direction has a policy any more; retold: as
                                     // it is
};

// One direction of one socket. Does not change; where the socket moves, another takes its place.
struct SocketPolicy {
  SocketEnds ends;
  std::shared_ptr<Policy> policy;
};

class SocketPolicies {
 public:
  explicit SocketPolicies(Quiescence* quiescence)
      : quiescence_(quiescence), tables_{Table(quiescence), Table(quiescence)} {}

  // --- Workers ---
  bool Empty() const { return size_.load(std::memory_order_acquire) == 0; }
  // There is one of this protocol: whether a fragment is of it only the whole datagram shows.
  bool AnyOf(uint8_t proto) const { return of_proto_[proto].load(std::memory_order_acquire) != 0; }
  // nullptr: there is none for the flow, or its selector is about others; the SPD decides then. Of
  // several sockets that share a port the one for the address alone counts before those for any,
  // and a block before the rest. kForward has none.
  Policy* Find(PolicyDirection direction, const FlowKey& flow, int32_t ifindex) const;

  // --- Control thread; DataPath::BumpGeneration is the caller's ---
  // REQUIRES: the socket has a port. Not owned: the caller holds the policy until it calls Remove,
  // which keeps it for the workers that may still look at it.
  void Insert(const SocketPolicy* policy);
  void Remove(std::shared_ptr<const SocketPolicy> policy);

 private:
  static uint64_t Hash(uint8_t proto, uint16_t port) {
    const uint64_t h = (uint64_t{proto} << 16 | port) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
  }
  struct HashOf {
    uint64_t operator()(const SocketPolicy& policy) const {
      return Hash(policy.ends.proto, policy.ends.local_port);
    }
  };
  using Table = RcuHash<const SocketPolicy, HashOf>;

  Quiescence* const quiescence_;
  std::array<Table, 2> tables_;  // by direction: in, out
  std::atomic<uint32_t> size_{0};
  std::array<std::atomic<uint32_t>, 256> of_proto_{};
};

}  // namespace cygnet
