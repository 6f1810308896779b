#include "esp/crypto_jobs.h"

#include <cstring>

#include "base/endian.h"
#include "net/esp_view.h"

namespace cygnet::esp {

JobParams ParamsOf(const OutboundSa& sa, CryptoSession* session) {
  return {.lengths = sa.lengths, .salt = sa.salt, .esn = sa.esn, .session = session};
}

JobParams ParamsOf(const InboundSa& sa, CryptoSession* session) {
  return {.lengths = sa.lengths, .salt = sa.salt, .esn = sa.esn, .session = session};
}

bool HasRoomForJob(const EspLengths& lengths, std::size_t esp_length) {
  return esp_length >= kEspHeader + lengths.iv + 2u + lengths.icv;
}

void BuildJob(const JobParams& params, std::span<uint8_t> esp, uint32_t esn_high, CryptoJob* job) {
  const EspLengths& lengths = params.lengths;
  uint8_t* iv = esp.data() + kEspHeader;
  job->session = params.session;
  job->text = iv + lengths.iv;
  job->text_length = static_cast<uint32_t>(esp.size()) - kEspHeader - lengths.iv - lengths.icv;
  job->icv = esp.data() + esp.size() - lengths.icv;
  std::memcpy(job->nonce.data(), params.salt.data(), params.salt.size());
  std::memcpy(job->nonce.data() + params.salt.size(), iv, lengths.iv);
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
  job->auth_begin = esp.data();
  job->esn_high = esn_high;
  job->append_esn_high = params.esn;
  job->status = CryptoStatus::kPending;
}

}  // namespace cygnet::esp
