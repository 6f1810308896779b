// NumberIdentity: the names under which a number store knows an SA. They are keyed hashes: whoever
// installs the same key, under any SPI and after any crash, meets the same outbound counter, and
// nobody can read a key from them.
#pragma once

#include <array>
#include <cstdint>

#include "base/key_material.h"
#include "sa/sa_spec.h"

namespace cygnet {

using NumberId = std::array<uint8_t, 16>;

struct NumberIdentity {
  // Of the key that the numbers make nonces for, with its salt. Not of the algorithm: modes that
  // share a key share its counter blocks, so they share its numbers, too.
  NumberId outbound{};
  // Of protocol, destination and SPI, and of all keys.
  NumberId inbound{};
  // Each life of the key has the same mask, so disjoint numbers are disjoint nonces.
  uint64_t iv_mask = 0;
  // Of a cluster: the group that the SA belongs to. 0: none.
  uint32_t group = 0;
};

inline constexpr std::size_t kNumberSecretBytes = 32;

// `secret`: of the store, kNumberSecretBytes.
NumberIdentity IdentityOf(const SaSpec& spec, const KeyMaterial& secret);

}  // namespace cygnet
