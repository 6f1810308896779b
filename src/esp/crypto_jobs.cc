#include "esp/crypto_jobs.h"

#include <cstring>

#include "base/endian.h"
#include "net/esp_view.h"

namespace cygnet::esp {

SessionParams SessionFor(const SaSpec& spec, CryptoDirection direction, uint32_t queues) {
  const bool aead = spec.aead.descriptor != nullptr;
  return {.cipher = spec.encryption().descriptor,
          .key = spec.encryption().key.bytes(),
          .auth = aead ? nullptr : spec.pair->auth.descriptor,
          .auth_key = aead ? std::span<const uint8_t>{} : spec.pair->auth.key.bytes(),
          .icv_bytes = static_cast<uint8_t>(spec.integrity().icv_bits / 8),
          .direction = direction,
          .queues = queues};
}

void BuildAnyJob(const JobParams& params, std::span<uint8_t> esp, uint32_t esn_high,
                 CryptoJob* job) {
  const EspLayout& layout = params.layout;
  uint8_t* iv = esp.data() + kEspHeader;
  job->session = params.session;
  job->text = iv + layout.iv;
  job->text_length = static_cast<uint32_t>(esp.size()) - kEspHeader - layout.iv - layout.icv;
  job->icv = esp.data() + esp.size() - layout.icv;
  if (layout.iv_form == IvForm::kSealed && params.direction == CryptoDirection::kSeal) {
    job->text = iv;  // the IV is sealed with the payload, under a zero IV
    job->text_length += layout.iv;
    job->nonce = {};
  } else {
    std::memcpy(job->nonce.data(), params.salt.data(), params.salt.size());
    if (layout.iv == 8) {
      std::memcpy(job->nonce.data() + layout.salt, iv, 8);
    } else {
      std::memcpy(job->nonce.data() + layout.salt, iv, layout.iv);
    }
  }
  // AAD: SPI ‖ sequence number, 32 or 64 bits wide (RFC 4106, section 5).
  std::memcpy(job->aad.data(), esp.data(), 4);
  if (params.esn) {
    StoreBe32(job->aad.data() + 4, esn_high);
    std::memcpy(job->aad.data() + 8, esp.data() + 4, 4);
    job->aad_length = 12;
  } else {
    std::memcpy(job->aad.data() + 4, esp.data() + 4, 4);
    job->aad_length = 8;
  }
  if (layout.iv_in_aad) {
    std::memcpy(job->aad.data() + job->aad_length, iv, layout.iv);
    job->aad_length += layout.iv;
  }
  job->auth_begin = esp.data();
  job->esn_high = esn_high;
  job->append_esn_high = params.esn;
  job->status = CryptoStatus::kPending;
}

}  // namespace cygnet::esp
