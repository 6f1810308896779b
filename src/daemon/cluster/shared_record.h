// What the entries of a cluster's store say about an SA, its usage, and a policy.
//
//   SA      version 1; state 1; soft 1; usage 40; NEWSA message with zeros for keys.
//           Its secret: the keys, in the order AEAD, cipher, authenticator.
//   usage   version 1; bytes, packets, time of addition, of first use, of last use: 8 each
//   policy  version 1; NEWPOLICY message
//
// An entry has no interface of this host and no offload: the next owner places its SAs itself.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/key_material.h"
#include "base/result.h"
#include "control/state_keeper.h"
#include "daemon/cluster/sealed_entry.h"
#include "netlink/buffer.h"
#include "policy/policy.h"
#include "requests/xfrm_control.h"
#include "sa/sa.h"

namespace cygnet {

struct SharedUsage {
  LifetimeUsage usage;
  uint64_t last_used = 0;
};

// Whether other nodes could understand it: interfaces have other numbers there.
bool CanBeShared(const Selector& selector);
// Nor do they need to block for an interface that is not on this host.
bool CanBeShared(const PolicySpec& policy);

// `clear` and `secret` of an entry.
struct SharedRecord {
  EntryKind kind = EntryKind::kSa;
  std::vector<uint8_t> clear;
  netlink::Buffer secret{};
};
// REQUIRES: it has keys.
SharedRecord RecordOf(const Sa& sa, const SharedUsage& usage);
SharedRecord RecordOf(const SharedUsage& usage);
SharedRecord RecordOf(PolicySpec spec);

// Errors: an entry that no version of Cygnet writes.
Result<RestoredSa> SaOf(std::span<const uint8_t> clear, std::span<const uint8_t> secret);
Result<SharedUsage> UsageOf(std::span<const uint8_t> clear);
Result<PolicySpec> PolicyOf(std::span<const uint8_t> clear);

// --- Names in the store: they tell nothing to who does not have the secret ---
std::string SharedName(const SaId& id, const KeyMaterial& secret);
std::string SharedName(const PolicyId& id, const KeyMaterial& secret);

}  // namespace cygnet
