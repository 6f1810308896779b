// The algorithm table: one row describes an algorithm, and nothing else in the tree knows one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace cygnet {

enum class AlgorithmKind : uint8_t { kAead, kCipher, kAuth };
enum class AlgorithmId : uint8_t { kAesGcm16 /* RFC 4106 */ };

struct AlgorithmDescriptor {
  AlgorithmId id;
  AlgorithmKind kind;
  std::string_view name;              // as Linux and iproute2 call it
  std::string_view alias;             // a second name that finds the row; empty if none
  std::array<uint16_t, 3> key_bytes;  // allowed lengths without the salt; 0 = unused entry
  uint8_t salt_bytes;                 // at the end of the key material
  uint8_t iv_bytes;                   // on the wire, in front of the payload
  uint8_t nonce_bytes;                // salt ‖ IV
  uint8_t block_bytes;                // the padded payload is a multiple of max(this, 4)
  std::array<uint8_t, 3> icv_bytes;   // allowed truncations, longest first; 0 = unused entry
  std::string_view rfc;

  bool AcceptsKeyMaterial(std::size_t bytes_with_salt) const {
    for (const uint16_t k : key_bytes) {
      if (k != 0 && bytes_with_salt == std::size_t{k} + salt_bytes) return true;
    }
    return false;
  }
  bool AcceptsIcv(std::size_t bytes) const {
    for (const uint8_t i : icv_bytes) {
      if (i != 0 && i == bytes) return true;
    }
    return false;
  }
};

// Row with this kind and exact name or alias; nullptr when there is none.
const AlgorithmDescriptor* FindAlgorithm(AlgorithmKind kind, std::string_view name);
std::span<const AlgorithmDescriptor> AllAlgorithms();

}  // namespace cygnet
