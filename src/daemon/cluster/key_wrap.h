// Key wrapping: keys of SAs leave this host only under AES key wrap with padding (RFC 5649), and
// under a key that belongs to this entry alone. WrappingKeys are those of the operator: the first
// one wraps, each of them unwraps, so that a new one can be put in front while the others still
// hold what the old one wrapped.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/key_material.h"
#include "base/result.h"
#include "netlink/buffer.h"

namespace cygnet {

inline constexpr std::size_t kMaxWrappedBytes = 1024;

// RFC 5649. `key`: of AES, 16, 24 or 32 bytes. `secret`: 1 to kMaxWrappedBytes.
Result<std::vector<uint8_t>> AesWrap(const KeyMaterial& key, std::span<const uint8_t> secret);
// An error: it was wrapped under another key, or was changed.
Result<netlink::Buffer> AesUnwrap(const KeyMaterial& key, std::span<const uint8_t> wrapped);

// HMAC-SHA256 of the parts, each with its length in front, so that no two lists of parts look
// alike.
using Hash256 = std::array<uint8_t, 32>;
Hash256 HashParts(const KeyMaterial& key, std::span<const std::span<const uint8_t>> parts);

// Names a wrapping key without telling it.
using WrappingKeyId = std::array<uint8_t, 8>;

class WrappingKeys {
 public:
  static constexpr std::size_t kBytes = 32;

  // REQUIRES: at least one key, each of kBytes.
  explicit WrappingKeys(std::vector<KeyMaterial> keys);
  // Each file has kBytes bytes, belongs to this user or root, and nobody else may read it.
  static Result<WrappingKeys> Load(const std::vector<std::string>& files);

  const WrappingKeyId& first() const { return keys_.front().id; }
  // nullptr: none of these keys.
  const KeyMaterial* Find(const WrappingKeyId& id) const;

 private:
  struct Key {
    WrappingKeyId id{};
    KeyMaterial key;
  };
  std::vector<Key> keys_;
};

}  // namespace cygnet
