// The [cluster] table, and each [[cluster_group]].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cygnet {

// What nodes share beyond numbers: nothing (key management brings each SA to each node), or the SAs
// and policies themselves.
enum class ClusterShare : uint8_t { kNumbers, kSas };

// What a new owner accepts. Strict: nothing up to the mark that the owner before had reserved.
// Checkpoint: everything above the last number that the owner before reported, so packets of the
// last moments may be accepted twice.
enum class ClusterInbound : uint8_t { kStrict, kCheckpoint };

// One [[cluster_group]].
struct ClusterGroupConfig {
  std::string name;
  std::vector<std::string> addresses;  // "192.0.2.1/24 dev nic0", as keepalived writes it
  std::string prefer;                  // node that takes a group that nobody owns; empty: any
  bool operator==(const ClusterGroupConfig&) const = default;
};

struct ClusterConfig {
  std::string name;  // empty: there is no cluster
  std::string node;
  std::vector<std::string> endpoints;  // https://HOST:PORT, or http://127.0.0.1:PORT
  std::string ca_file;
  std::string certificate;
  std::string private_key;
  std::string heartbeat;    // ADDRESS:PORT of this node, for heartbeats (UDP)
  std::string secret_file;  // 32 bytes or more: names of SAs in the store, IV masks, heartbeats
  std::string state_file;   // what the store confirmed; empty: in STATE_DIRECTORY
  ClusterShare share = ClusterShare::kNumbers;
  std::vector<std::string> wrapping_keys;  // files of 32 bytes; the first wraps, all unwrap
  bool share_in_fips_mode =
      false;  // wrapped keys may leave the host although FIPS mode is in force
  ClusterInbound inbound = ClusterInbound::kStrict;
  std::vector<ClusterGroupConfig> groups{};
  bool operator==(const ClusterConfig&) const = default;
};

}  // namespace cygnet
