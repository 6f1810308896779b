// The heartbeat: what a node tells the others every 50 ms, in one UDP datagram.
//
//   "CYGH" version(1) 0(3) incarnation(8) sequence(8) boot_ns(8) paused_ms(4) store_silent_ms(4)
//   cluster node           each: length(1) bytes
//   count(1) {group epoch(8)}...          owned groups, group as length(1) bytes
//   count(1) {node}...                    other nodes that the sender hears
//   count(1) {group node}...              moves that began: this node asks `node` to hold packets
//   count(1) {group epoch(8)}...          of moves: the sender holds the packets of the group
//   whatever later versions append
//   mac(16)                HMAC-SHA256, cut to 16 bytes, of all before it
//
// Integers are big-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/key_material.h"
#include "daemon/cluster/cluster_types.h"

namespace cygnet {

// A datagram that any link carries, if in fragments.
inline constexpr std::size_t kMaxHeartbeat = 16384;
// Moves of one heartbeat.
inline constexpr std::size_t kMaxOffers = 16;
// Of clusters, nodes and groups.
inline constexpr std::size_t kMaxClusterName = 63;

struct Heartbeat {
  struct Group {
    std::string name;
    uint64_t epoch = 0;
    bool operator==(const Group&) const = default;
  };
  struct Offer {
    std::string group;
    std::string node;
    bool operator==(const Offer&) const = default;
  };

  std::string cluster;
  std::string node;
  Incarnation incarnation = 0;
  uint64_t sequence = 0;         // of this incarnation; the first is 1
  uint64_t boot_ns = 0;          // the sender's boot-time clock, for people who read a capture
  uint32_t paused_ms = 0;        // silence of up to so long is announced
  uint32_t store_silent_ms = 0;  // since the store answered the sender
  std::vector<Group> groups{};
  std::vector<std::string> heard{};
  std::vector<Offer> offers{};
  std::vector<Group> held{};
  bool operator==(const Heartbeat&) const = default;
};

// The key of heartbeats, from the cluster's secret.
KeyMaterial HeartbeatKey(const KeyMaterial& secret);

// REQUIRES: names of 1 to kMaxClusterName bytes, at most 100 groups, 30 nodes and
// kMaxOffers offers and held groups.
std::vector<uint8_t> EncodeHeartbeat(const Heartbeat& heartbeat, const KeyMaterial& key);

// nullopt: not a heartbeat with a MAC under `key`. The MAC is checked before anything is read.
std::optional<Heartbeat> DecodeHeartbeat(std::span<const uint8_t> datagram, const KeyMaterial& key);
// The same without the MAC's check: `bytes` end where the MAC begins.
std::optional<Heartbeat> ParseHeartbeat(std::span<const uint8_t> bytes);

}  // namespace cygnet
