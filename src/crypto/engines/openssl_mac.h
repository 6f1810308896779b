// Authenticators of the OpenSSL engine. FIPS mode uses the provider's own. Otherwise EVP_MAC and
// EVP_MD are unsuitable per packet: in OpenSSL 3.0 every start of an HMAC or a digest allocates.
// HMAC uses libcrypto's SHA functions instead, and block-cipher MACs use EVP_CIPHER contexts, which
// restart without allocating.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "base/key_material.h"
#include "crypto/engines/openssl_session.h"

namespace cygnet::openssl {

inline constexpr std::size_t kMaxMacBytes = 64;
using MacOutput = std::array<uint8_t, kMaxMacBytes>;  // holds the algorithm's full length

// RFC 2104: H(K ⊕ opad, H(K ⊕ ipad, message)), from the hash states after the two key blocks. The
// states never change, so one pair serves every queue.
class Hmac {
 public:
  // REQUIRES: `algorithm` is an HMAC. nullopt if the library refused.
  static std::optional<Hmac> Create(const Library& library, const AlgorithmDescriptor& algorithm,
                                    std::span<const uint8_t> key, uint32_t queues);
  // MAC of message ‖ tail. False if the library failed; then `out` is not valid.
  bool Compute(uint32_t queue, std::span<const uint8_t> message, std::span<const uint8_t> tail,
               MacOutput* out) const;

 private:
  AlgorithmId id_ = AlgorithmId::kHmacSha1;
  KeyMaterial inner_;
  KeyMaterial outer_;
};

// AES-CMAC (RFC 4493) and AES-XCBC-MAC (RFC 3566): CBC-MAC whose last block is masked with one of
// two subkeys. They differ in how the keys are derived.
class AesCbcMac {
 public:
  // REQUIRES: `algorithm` is CMAC or XCBC.
  static std::optional<AesCbcMac> Create(const Library& library,
                                         const AlgorithmDescriptor& algorithm,
                                         std::span<const uint8_t> key, uint32_t queues);
  bool Compute(uint32_t queue, std::span<const uint8_t> message, std::span<const uint8_t> tail,
               MacOutput* out) const;

 private:
  std::vector<CipherCtx> contexts_;  // one per queue: AES-CBC under the chaining key
  KeyMaterial subkeys_;              // for a complete last block ‖ for a padded one
};

// FIPS mode: HMAC and CMAC of the provider. Each packet allocates at its start (OpenSSL 3.0:
// HMAC_Init_ex makes a digest context); this is the price of a validated module.
class ProviderMac {
 public:
  static std::optional<ProviderMac> Create(const Library& library,
                                           const AlgorithmDescriptor& algorithm,
                                           std::span<const uint8_t> key, uint32_t queues);
  bool Compute(uint32_t queue, std::span<const uint8_t> message, std::span<const uint8_t> tail,
               MacOutput* out) const;

 private:
  struct MacCtxDeleter {
    void operator()(EVP_MAC_CTX* ctx) const { EVP_MAC_CTX_free(ctx); }  // wipes the key
  };
  using MacCtx = std::unique_ptr<EVP_MAC_CTX, MacCtxDeleter>;

  std::vector<MacCtx> contexts_;  // one per queue
};

}  // namespace cygnet::openssl
