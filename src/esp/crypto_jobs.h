// Crypto jobs of ESP packets: which bytes are sealed or opened, with which nonce and AAD (RFC 4106,
// sections 3 – 5). The same for CPU engines, look-aside engines and the software NIC.
#pragma once

#include <cstdint>
#include <span>

#include "crypto/crypto_engine.h"
#include "net/esp_view.h"
#include "sa/sa.h"

namespace cygnet::esp {

// The parts of an SA that a job needs; the software NIC has them without an Sa.
struct JobParams {
  EspLayout layout;
  std::array<uint8_t, 4> salt{};
  bool esn = false;
  CryptoDirection direction = CryptoDirection::kSeal;
  CryptoSession* session = nullptr;
};

// Parameters for an engine's session for the SA. The spans point into `spec`.
SessionParams SessionFor(const SaSpec& spec, CryptoDirection direction, uint32_t queues);

inline JobParams ParamsOf(const OutboundSa& sa, CryptoSession* session) {
  return {.layout = sa.layout,
          .salt = sa.salt,
          .esn = sa.esn,
          .direction = CryptoDirection::kSeal,
          .session = session};
}
inline JobParams ParamsOf(const InboundSa& sa, CryptoSession* session) {
  return {.layout = sa.layout,
          .salt = sa.salt,
          .esn = sa.esn,
          .direction = CryptoDirection::kOpen,
          .session = session};
}

// `esp` starts at the SPI and ends after the ICV. `esn_high`: high word of the sequence number.
// REQUIRES: HasRoomForJob.
void BuildJob(const JobParams& params, std::span<uint8_t> esp, uint32_t esn_high, CryptoJob* job);

// True if `esp_length` bytes can hold ESP header, IV, trailer, and ICV.
inline bool HasRoomForJob(const EspLayout& layout, std::size_t esp_length) {
  return esp_length >= kEspHeader + layout.iv + 2u + layout.icv;
}

}  // namespace cygnet::esp
