// ESP with AES-GCM straight from RFC 4303 and RFC 4106 over OpenSSL. It shares no code with the
// stack: it makes any ESP packet, including hostile ones, and opens what the stack sealed.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <optional>
#include <stdexcept>

#include "support/packet_builder.h"
#include "support/test_sa.h"

namespace cygnet::test {

namespace internal {
struct OracleGcm {
  std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> ctx{EVP_CIPHER_CTX_new(),
                                                                 EVP_CIPHER_CTX_free};
  OracleGcm(const SaSpec& spec, const Bytes& aad, std::span<const uint8_t> iv, int seal) {
    const std::span<const uint8_t> key = spec.aead.key.bytes();
    const std::size_t n = key.size() - 4;
    const EVP_CIPHER* cipher = n == 16   ? EVP_aes_128_gcm()
                               : n == 24 ? EVP_aes_192_gcm()
                                         : EVP_aes_256_gcm();
    Bytes nonce(key.begin() + static_cast<std::ptrdiff_t>(n), key.end());
    nonce.insert(nonce.end(), iv.begin(), iv.end());
    int out = 0;
    if (EVP_CipherInit_ex(ctx.get(), cipher, nullptr, key.data(), nonce.data(), seal) != 1 ||
        EVP_CipherUpdate(ctx.get(), nullptr, &out, aad.data(), static_cast<int>(aad.size())) != 1) {
      throw std::runtime_error("oracle");
    }
  }
};

inline Bytes OracleAad(const SaSpec& spec, uint64_t seq) {
  const bool esn = (spec.flags & kSaFlagEsn) != 0;
  Bytes aad(esn ? 12 : 8);
  Put32(&aad, 0, spec.spi.value);
  if (esn) Put32(&aad, 4, static_cast<uint32_t>(seq >> 32));
  Put32(&aad, esn ? 8 : 4, static_cast<uint32_t>(seq));
  return aad;
}
}  // namespace internal

// SPI ‖ sequence ‖ IV ‖ sealed text ‖ ICV. `text` is everything to encrypt, including the trailer.
inline Bytes OracleSeal(const SaSpec& spec, uint64_t seq, uint64_t iv, const Bytes& text) {
  Bytes esp(16);
  Put32(&esp, 0, spec.spi.value);
  Put32(&esp, 4, static_cast<uint32_t>(seq));
  Put32(&esp, 8, static_cast<uint32_t>(iv >> 32));
  Put32(&esp, 12, static_cast<uint32_t>(iv));
  internal::OracleGcm gcm(spec, internal::OracleAad(spec, seq),
                          std::span<const uint8_t>(esp).subspan(8, 8), 1);
  Bytes sealed(text.size() + 16);
  int n = 0;
  EVP_CipherUpdate(gcm.ctx.get(), sealed.data(), &n, text.data(), static_cast<int>(text.size()));
  EVP_CipherFinal_ex(gcm.ctx.get(), sealed.data() + n, &n);
  const int icv = spec.aead.icv_bits / 8;
  EVP_CIPHER_CTX_ctrl(gcm.ctx.get(), EVP_CTRL_AEAD_GET_TAG, icv, sealed.data() + text.size());
  sealed.resize(text.size() + static_cast<std::size_t>(icv));
  return esp + sealed;
}

// The text of an ESP packet; nullopt if the ICV is wrong. `seq` includes its high word.
inline std::optional<Bytes> OracleOpen(const SaSpec& spec, uint64_t seq,
                                       std::span<const uint8_t> esp) {
  const std::size_t icv = spec.aead.icv_bits / 8;
  internal::OracleGcm gcm(spec, internal::OracleAad(spec, seq), esp.subspan(8, 8), 0);
  const std::span<const uint8_t> sealed = esp.subspan(16, esp.size() - 16 - icv);
  Bytes tag = ToBytes(esp.last(icv));
  Bytes text(sealed.size() + 16);
  int n = 0;
  EVP_CIPHER_CTX_ctrl(gcm.ctx.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(icv), tag.data());
  EVP_CipherUpdate(gcm.ctx.get(), text.data(), &n, sealed.data(), static_cast<int>(sealed.size()));
  if (EVP_CipherFinal_ex(gcm.ctx.get(), text.data() + n, &n) != 1) return std::nullopt;
  text.resize(sealed.size());
  return text;
}

// Payload with a valid trailer: pad bytes 1, 2, 3, …, pad length, next header.
inline Bytes WithTrailer(Bytes payload, uint8_t next_header) {
  const std::size_t pad = (4 - (payload.size() + 2) % 4) % 4;
  for (std::size_t i = 1; i <= pad; ++i) payload.push_back(static_cast<uint8_t>(i));
  payload.push_back(static_cast<uint8_t>(pad));
  payload.push_back(next_header);
  return payload;
}

// The frame that carries ESP from the SA's source to its destination, in UDP if the SA uses it.
inline Bytes EspFrame(const SaSpec& spec, const Bytes& esp) {
  IpFields f{.src = ToString(spec.saddr, spec.family),
             .dst = ToString(spec.daddr, spec.family),
             .proto = 50};
  if (!spec.encap.has_value()) return Frame(IpPacket(f, esp));
  f.proto = 17;
  Bytes udp(8);
  Put16(&udp, 0, spec.encap->sport);
  Put16(&udp, 2, spec.encap->dport);
  Put16(&udp, 4, static_cast<uint32_t>(8 + esp.size()));
  return Frame(IpPacket(f, udp + esp));
}

inline Bytes SealedFrame(const SaSpec& spec, uint64_t seq, const Bytes& text) {
  return EspFrame(spec, OracleSeal(spec, seq, seq ^ 0x5555, text));
}

}  // namespace cygnet::test
