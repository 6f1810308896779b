// Policies of single sockets (setsockopt IP_XFRM_POLICY, IPV6_XFRM_POLICY): a key manager uses them
// to let its own messages pass, whatever the SPD says. The control thread changes them; workers
// look them up without locks and pay one load if there are none.
//
// Packets do not carry their socket. A policy is applied to packets with the socket's protocol,
// port and addresses; the caller ensures that the packet is the host's own.
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

// Endpoints of a socket as they appear in packets. A socket without a port has none to match.
struct SocketEnds {
  IpAddress local;   // any: every address of the host
  IpAddress remote;  // if connected
  uint16_t local_port = 0;
  uint16_t remote_port = 0;             // 0: not connected
  IpFamily family = IpFamily::kUnspec;  // of the addresses
  bool both_families = false;           // an IPv6 socket for any address that also accepts IPv4
  uint8_t proto = 0;
  int32_t ifindex = 0;  // the interface it is bound to; 0: none
  bool operator==(const SocketEnds&) const = default;

  // True for a packet that the socket sent (kOut) or will receive (kIn). A connected socket
  // receives only its peer's packets, but may send to others.
  bool Has(PolicyDirection direction, const FlowKey& flow, int32_t flow_ifindex) const;
};

// A client's change for one of its sockets.
struct SocketPolicyChange {
  uint64_t cookie = 0;                  // SO_COOKIE: unique until the next boot
  IpFamily family = IpFamily::kUnspec;  // of the socket
  uint8_t proto = 0;
  uint16_t port = 0;                 // the bound port; 0: none yet
  bool retold = false;               // a repetition: at most the socket's endpoints have changed
  std::optional<PolicySpec> spec{};  // nullopt: no policies any more; if `retold`: unchanged
};

// One direction of one socket. Immutable; when the socket's endpoints change, a new object replaces
// it.
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
  // True if any policy is for this protocol. Only the whole datagram shows whether a fragment
  // belongs to it.
  bool AnyOf(uint8_t proto) const { return of_proto_[proto].load(std::memory_order_acquire) != 0; }
  // nullptr if no policy matches the flow; then the SPD decides. Of several sockets that share a
  // port, one bound to the address precedes those for any address; among equals a blocking policy
  // precedes the others. Always nullptr for kForward.
  Policy* Find(PolicyDirection direction, const FlowKey& flow, int32_t ifindex) const;

  // --- Control thread; the caller must call DataPath::BumpGeneration ---
  // Insert does not own the policy: the caller holds it until it calls Remove, which keeps it alive
  // for workers that may still use it. REQUIRES: the socket has a port.
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
