// The interface's algorithms as DPDK's symmetric transforms.
#pragma once

#include <rte_crypto_sym.h>

#include <array>
#include <cstdint>
#include <optional>

#include "cygnet/engine.h"

namespace cygnet::cryptodev {

inline constexpr uint16_t kEspAadBytes = 8;   // SPI ‖ sequence number
inline constexpr uint16_t kEsnAadBytes = 12;  // SPI ‖ extended sequence number

struct Cipher {
  const char* name;  // the interface's
  rte_crypto_cipher_algorithm algorithm;
  uint32_t iv_bytes;     // as DPDK wants it
  uint32_t block_bytes;  // the text is a multiple
};

// What a session does, without its key.
struct Suite {
  bool aead = false;
  bool seal = false;
  const Cipher* cipher = nullptr;  // nullptr: an AEAD, or the null cipher
  rte_crypto_aead_algorithm aead_algorithm{};
  rte_crypto_auth_algorithm auth_algorithm{};
  uint32_t iv_bytes = 0;
  uint32_t icv_bytes = 0;
  uint32_t text_front = 0;  // shortest text, when sealing: the IV block

  bool counter_mode() const {
    return cipher != nullptr && cipher->algorithm == RTE_CRYPTO_CIPHER_AES_CTR;
  }
};

// nullopt: not an algorithm that this engine knows.
std::optional<Suite> SuiteOf(const cygnet_session_params& params);
// True if the device does the suite with these lengths.
bool DeviceDoes(uint8_t device, const Suite& suite, const cygnet_session_params& params);

// Transforms of a session; DPDK copies the keys that they point to. Wiped when they go.
class Transforms {
 public:
  // `aad_bytes` of an AEAD.
  Transforms(const Suite& suite, const cygnet_session_params& params, uint16_t aad_bytes,
             uint16_t iv_offset);
  ~Transforms();
  Transforms(const Transforms&) = delete;
  Transforms& operator=(const Transforms&) = delete;
  // nullptr: the key could not be hashed.
  rte_crypto_sym_xform* first() { return first_; }

 private:
  void FillAead(const Suite& suite, const cygnet_session_params& params, uint16_t aad_bytes,
                uint16_t iv_offset);
  void FillPair(const Suite& suite, const cygnet_session_params& params, uint16_t iv_offset);

  std::array<rte_crypto_sym_xform, 2> forms_{};
  rte_crypto_sym_xform* first_ = nullptr;
  std::array<uint8_t, 64> hashed_key_{};
};

}  // namespace cygnet::cryptodev
