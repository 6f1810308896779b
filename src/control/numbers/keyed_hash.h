// The keyed hash that makes names, masks and keys out of a secret.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/key_material.h"

namespace cygnet {

// HMAC-SHA256 (RFC 2104) of `bytes` under `key`. The result is not wiped.
std::array<uint8_t, 32> KeyedHash(const KeyMaterial& key, std::span<const uint8_t> bytes);

// Several of them under one key: to set the key takes longer than to hash a few words. It has what
// the key became, and wipes it.
class KeyedHasher {
 public:
  explicit KeyedHasher(const KeyMaterial& key);
  ~KeyedHasher();
  KeyedHasher(const KeyedHasher&) = delete;
  KeyedHasher& operator=(const KeyedHasher&) = delete;

  std::array<uint8_t, 32> Hash(std::span<const uint8_t> bytes);

 private:
  struct Context;
  const std::unique_ptr<Context> context_;
};

}  // namespace cygnet
