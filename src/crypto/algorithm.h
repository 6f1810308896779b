// The algorithm table. One row describes an algorithm completely; no other code knows single
// algorithms.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace cygnet {

enum class AlgorithmKind : uint8_t { kAead, kCipher, kAuth };

enum class AlgorithmId : uint8_t {
  kAesGcm,            // RFC 4106
  kAesCcm,            // RFC 4309
  kAesGmac,           // RFC 4543: authenticates only
  kChaCha20Poly1305,  // RFC 7634
  kNullCipher,        // RFC 2410
  kAesCbc,            // RFC 3602
  kAesCtr,            // RFC 3686
  kDes3Cbc,           // RFC 2451
  kHmacSha1,          // RFC 2404
  kHmacSha256,        // RFC 4868
  kHmacSha384,
  kHmacSha512,
  kAesXcbc,  // RFC 3566
  kAesCmac,  // RFC 4494
};
inline constexpr std::size_t kAlgorithmCount = 14;

// How the bytes of an IV are made (RFC 4106 section 3.1, RFC 3602 section 3).
enum class IvForm : uint8_t {
  kNone,
  kCounter,  // 8 bytes that never repeat under a key; the nonce is salt ‖ IV
  kSealed,   // unpredictable: a block that never repeats, sealed in front of the payload under a
             // zero IV; the sealed block is the IV of the payload (NIST SP 800-38A, appendix C)
};

// HMAC accepts a key of any length (RFC 2104); this is the limit of KeyMaterial. Linux accepts
// longer keys, but nobody uses them.
inline constexpr std::size_t kMaxAnyKeyBytes = 256;

struct AlgorithmDescriptor {
  AlgorithmId id;
  AlgorithmKind kind;
  std::string_view name;              // the name in Linux and iproute2
  std::string_view alias;             // a second name of the row; empty if none
  std::array<uint16_t, 3> key_bytes;  // allowed lengths without the salt; 0 = unused entry
  // HMAC: key_bytes lists the usual lengths; others up to kMaxAnyKeyBytes are valid.
  bool any_key_length = false;
  uint8_t salt_bytes = 0;  // at the end of the key material
  uint8_t iv_bytes = 0;    // on the wire, in front of the payload
  IvForm iv_form = IvForm::kNone;
  bool iv_in_aad = false;   // RFC 4543: IV and payload are authenticated, nothing is encrypted
  uint8_t block_bytes = 1;  // the padded payload is a multiple of max(this, 4)
  // AEAD: allowed ICV lengths, longest first; 0 = unused entry. Authenticator: the full length,
  // then the default of XFRMA_ALG_AUTH; XFRMA_ALG_AUTH_TRUNC may request any length up to the full
  // one.
  std::array<uint8_t, 3> icv_bytes{};
  bool fips_approved = false;
  std::string_view rfc;

  // Nonce of an AEAD or counter mode: salt ‖ IV.
  uint8_t nonce_bytes() const { return static_cast<uint8_t>(salt_bytes + iv_bytes); }
  bool AcceptsKeyMaterial(std::size_t bytes_with_salt) const;
  bool AcceptsIcv(std::size_t bytes) const;
  // ICV length of an authenticator if the client names none.
  uint8_t default_icv_bytes() const { return icv_bytes[1] != 0 ? icv_bytes[1] : icv_bytes[0]; }
};

// Row with this kind and exact name or alias; nullptr if there is none.
const AlgorithmDescriptor* FindAlgorithm(AlgorithmKind kind, std::string_view name);
std::span<const AlgorithmDescriptor> AllAlgorithms();

}  // namespace cygnet
