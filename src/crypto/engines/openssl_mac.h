// Authenticators of the OpenSSL engine. In FIPS mode the provider's own do the work. Else EVP_MAC
// and EVP_MD will not do per packet: in OpenSSL 3.0 every start of an HMAC or a digest allocates.
// HMAC runs over libcrypto's SHA functions instead, the block cipher MACs over EVP_CIPHER contexts,
// which start again without.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "base/key_material.h"
#include "crypto/engines/openssl_session.h"

namespace cygnet::openssl {

inline constexpr std::size_t kMaxMacBytes = 64;
using MacOutput = std::array<uint8_t, kMaxMacBytes>;  // the algorithm's full length counts

// RFC 2104: H(K ⊕ opad, H(K ⊕ ipad, message)), from the hash states behind the two key blocks.
// These do not change, so one pair serves every queue.
class Hmac {
 public:
  // REQUIRES: `algorithm` is one of the HMACs. nullopt: the library refused.
  static std::optional<Hmac> Create(const Library& library, const AlgorithmDescriptor& algorithm,
                                    std::span<const uint8_t> key, uint32_t queues);
  // Over message ‖ tail. False: the library failed, `out` is not to be used.
  bool Compute(uint32_t queue, std::span<const uint8_t> message, std::span<const uint8_t> tail,
               MacOutput* out) const;

 private:
  AlgorithmId id_ = AlgorithmId::kHmacSha1;
  KeyMaterial inner_;
  KeyMaterial outer_;
};

// AES-CMAC (RFC 4493) and AES-XCBC-MAC (RFC 3566): CBC-MAC whose last block is masked by one of two
// subkeys. They differ in where the keys come from.
class AesCbcMac {
 public:
  // REQUIRES: `algorithm` is CMAC or XCBC.
  static std::optional<AesCbcMac> Create(const Library& library,
                                         const AlgorithmDescriptor& algorithm,
                                         std::span<const uint8_t> key, uint32_t queues);
  bool Compute(uint32_t queue, std::span<const uint8_t> message, std::span<const uint8_t> tail,
               MacOutput* out) const;

 private:
  std::vector<CipherCtx> contexts_;  // by queue: AES-CBC under the chaining key
  KeyMaterial subkeys_;              // for a whole last block ‖ for a padded one
};

// FIPS mode: HMAC and CMAC as the provider does them. Each packet's start allocates (OpenSSL 3.0:
// HMAC_Init_ex makes a digest context); who needs a validated module pays that.
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

  std::vector<MacCtx> contexts_;  // by queue
};

}  // namespace cygnet::openssl
