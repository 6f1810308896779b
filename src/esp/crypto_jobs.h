// Crypto jobs of ESP packets: which bytes are sealed or opened, with which nonce and AAD (RFC 4106,
// sections 3 – 5). The same for CPU engines, look-aside engines and the software NIC.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "base/endian.h"
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
  // The form of almost all SAs (AEADs of RFC 4106 and 7634): salt of 4 bytes, IV of 8, not in the
  // AAD. False only costs time.
  bool common = false;
};

// Parameters for an engine's session for the SA. The spans point into `spec`.
SessionParams SessionFor(const SaSpec& spec, CryptoDirection direction, uint32_t queues);

inline bool IsCommon(const EspLayout& layout) {
  return layout.salt == 4 && layout.iv == 8 && !layout.iv_in_aad &&
         layout.iv_form != IvForm::kSealed;
}
inline JobParams ParamsOf(const OutboundSa& sa, CryptoSession* session) {
  return {.layout = sa.layout,
          .salt = sa.salt,
          .esn = sa.esn,
          .direction = CryptoDirection::kSeal,
          .session = session,
          .common = IsCommon(sa.layout)};
}
inline JobParams ParamsOf(const InboundSa& sa, CryptoSession* session) {
  return {.layout = sa.layout,
          .salt = sa.salt,
          .esn = sa.esn,
          .direction = CryptoDirection::kOpen,
          .session = session,
          .common = IsCommon(sa.layout)};
}

// `esp` starts at the SPI and ends after the ICV. `esn_high`: high word of the sequence number.
// REQUIRES: HasRoomForJob.
inline void BuildJob(const JobParams& params, std::span<uint8_t> esp, uint32_t esn_high,
                     CryptoJob* job);

// True if `esp_length` bytes can hold ESP header, IV, trailer, and ICV.
inline bool HasRoomForJob(const EspLayout& layout, std::size_t esp_length) {
  return esp_length >= kEspHeader + layout.iv + 2u + layout.icv;
}

// --- Implementation ---

// BuildJob for any SA.
void BuildAnyJob(const JobParams& params, std::span<uint8_t> esp, uint32_t esn_high,
                 CryptoJob* job);

inline void BuildJob(const JobParams& params, std::span<uint8_t> esp, uint32_t esn_high,
                     CryptoJob* job) {
  if (!params.common) return BuildAnyJob(params, esp, esn_high, job);
  constexpr uint32_t kSalt = 4;
  constexpr uint32_t kIv = 8;
  uint8_t* header = esp.data();
  uint32_t spi;
  uint32_t seq;
  std::memcpy(&spi, header, sizeof(spi));
  std::memcpy(&seq, header + 4, sizeof(seq));
  job->session = params.session;
  job->text = header + kEspHeader + kIv;
  job->text_length = static_cast<uint32_t>(esp.size()) - kEspHeader - kIv - params.layout.icv;
  job->icv = job->text + job->text_length;
  std::memcpy(job->nonce.data(), params.salt.data(), kSalt);
  std::memcpy(job->nonce.data() + kSalt, header + kEspHeader, kIv);
  // AAD: SPI ‖ sequence number, 32 or 64 bits wide (RFC 4106, section 5).
  std::memcpy(job->aad.data(), &spi, sizeof(spi));
  if (params.esn) StoreBe32(job->aad.data() + 4, esn_high);
  std::memcpy(job->aad.data() + (params.esn ? 8 : 4), &seq, sizeof(seq));
  job->aad_length = params.esn ? 12 : 8;
  job->auth_begin = header;
  job->esn_high = esn_high;
  job->append_esn_high = params.esn;
  job->status = CryptoStatus::kPending;
}

}  // namespace cygnet::esp
