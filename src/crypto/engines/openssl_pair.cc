// Cipher + authenticator pairs of the OpenSSL engine: encrypt, then MAC (RFC 4303 section 3.3.2);
// verify, then decrypt (section 3.4.4.1).
#include <openssl/crypto.h>
#include <openssl/err.h>

#include <algorithm>

#include "base/endian.h"
#include "crypto/engines/openssl_mac.h"
#include "crypto/engines/openssl_session.h"

namespace cygnet::openssl {
namespace {

// The cipher half: one keyed context per queue, none for the null cipher.
class Cipher {
 public:
  static std::optional<Cipher> Create(const Library& library, const SessionParams& params) {
    Cipher out(*params.cipher);
    if (params.cipher->id == AlgorithmId::kNullCipher) return out;
    const std::size_t key_bytes = params.key.size() - params.cipher->salt_bytes;
    const CipherPtr cipher = library.Cipher(CipherName(params.cipher->id, key_bytes));
    const int seal = params.direction == CryptoDirection::kSeal ? 1 : 0;
    for (uint32_t i = 0; i < params.queues; ++i) {
      CipherCtx ctx(EVP_CIPHER_CTX_new());
      if (ctx == nullptr || cipher == nullptr ||
          EVP_CipherInit_ex(ctx.get(), cipher.get(), nullptr, params.key.data(), nullptr, seal) !=
              1) {
        return std::nullopt;
      }
      EVP_CIPHER_CTX_set_padding(ctx.get(), 0);  // ESP does its own padding
      out.contexts_.push_back(std::move(ctx));
    }
    return out;
  }

  bool Fits(const CryptoJob& job, CryptoDirection direction) const {
    const bool iv_in_text =
        algorithm_->iv_form == IvForm::kSealed && direction == CryptoDirection::kSeal;
    return job.text_length % algorithm_->block_bytes == 0 &&
           (!iv_in_text || job.text_length >= algorithm_->iv_bytes);
  }

  // REQUIRES: Fits(job).
  bool Run(uint32_t queue, CryptoJob* job) const {
    if (contexts_.empty()) return true;
    EVP_CIPHER_CTX* ctx = contexts_[queue].get();
    std::array<uint8_t, 16> iv = job->nonce;
    if (algorithm_->id == AlgorithmId::kAesCtr) {
      StoreBe32(iv.data() + 12, 1);  // RFC 3686 section 4: nonce ‖ IV ‖ block counter from 1
    }
    int n = 0;
    return EVP_CipherInit_ex(ctx, nullptr, nullptr, nullptr, iv.data(), -1) == 1 &&
           EVP_CipherUpdate(ctx, job->text, &n, job->text, static_cast<int>(job->text_length)) == 1;
  }

 private:
  explicit Cipher(const AlgorithmDescriptor& algorithm) : algorithm_(&algorithm) {}

  const AlgorithmDescriptor* algorithm_;
  std::vector<CipherCtx> contexts_;  // one per queue
};

template <typename Mac>
class PairSession final : public Session {
 public:
  PairSession(LibraryPtr library, const SessionParams& params, Cipher cipher, Mac mac)
      : Session(std::move(library)),
        cipher_(std::move(cipher)),
        mac_(std::move(mac)),
        icv_bytes_(params.icv_bytes),
        direction_(params.direction) {}

  void Run(uint32_t queue, std::span<CryptoJob> jobs) override {
    for (CryptoJob& job : jobs) {
      job.status = direction_ == CryptoDirection::kSeal ? Seal(queue, &job) : Open(queue, &job);
    }
  }

 private:
  bool ComputeIcv(uint32_t queue, const CryptoJob& job, MacOutput* out) const {
    std::array<uint8_t, 4> esn_high;
    StoreBe32(esn_high.data(), job.esn_high);
    const std::size_t tail = job.append_esn_high ? esn_high.size() : 0;
    return mac_.Compute(queue, {job.auth_begin, job.text + job.text_length},
                        {esn_high.data(), tail}, out);
  }

  CryptoStatus Seal(uint32_t queue, CryptoJob* job) const {
    MacOutput icv;
    if (!cipher_.Fits(*job, direction_) || !cipher_.Run(queue, job) ||
        !ComputeIcv(queue, *job, &icv)) {
      return CryptoStatus::kError;
    }
    std::copy_n(icv.begin(), icv_bytes_, job->icv);
    return CryptoStatus::kOk;
  }

  CryptoStatus Open(uint32_t queue, CryptoJob* job) const {
    MacOutput icv;
    if (!ComputeIcv(queue, *job, &icv)) return CryptoStatus::kError;
    if (CRYPTO_memcmp(icv.data(), job->icv, icv_bytes_) != 0) return CryptoStatus::kAuthFailed;
    // Only a peer with the key can send a length here that is not a multiple of the block.
    const bool opened = cipher_.Fits(*job, direction_) && cipher_.Run(queue, job);
    return opened ? CryptoStatus::kOk : CryptoStatus::kError;
  }

  const Cipher cipher_;
  const Mac mac_;
  const std::size_t icv_bytes_;
  const CryptoDirection direction_;
};

template <typename Mac>
Result<std::unique_ptr<CryptoSession>> Create(const LibraryPtr& library,
                                              const SessionParams& params) {
  auto cipher = Cipher::Create(*library, params);
  auto mac = Mac::Create(*library, *params.auth, params.auth_key, params.queues);
  if (!cipher.has_value() || !mac.has_value()) {
    ERR_clear_error();
    return MakeError(Errc::kInvalid, "openssl: the library refused the key");
  }
  return std::unique_ptr<CryptoSession>(
      std::make_unique<PairSession<Mac>>(library, params, *std::move(cipher), *std::move(mac)));
}

}  // namespace

Result<std::unique_ptr<CryptoSession>> CreatePairSession(const LibraryPtr& library,
                                                         const SessionParams& params) {
  if (library->fips_mode()) return Create<ProviderMac>(library, params);
  switch (params.auth->id) {
    case AlgorithmId::kAesXcbc:
    case AlgorithmId::kAesCmac:
      return Create<AesCbcMac>(library, params);
    default:
      return Create<Hmac>(library, params);
  }
}

}  // namespace cygnet::openssl
