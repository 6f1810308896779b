// The keyed hash that makes names, masks and keys out of a secret.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/key_material.h"

namespace cygnet {

// HMAC-SHA256 (RFC 2104) of `bytes` under `key`. The result is not wiped.
std::array<uint8_t, 32> KeyedHash(const KeyMaterial& key, std::span<const uint8_t> bytes);

}  // namespace cygnet
