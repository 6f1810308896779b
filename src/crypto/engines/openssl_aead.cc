// AEADs of the OpenSSL engine: GCM and ChaCha20-Poly1305, CCM, and GMAC.
#include <openssl/crypto.h>
#include <openssl/err.h>

#include <algorithm>
#include <cstring>

#include "crypto/engines/openssl_session.h"

namespace cygnet::openssl {
namespace {

// The order in which EVP requires the inputs.
enum class Shape : uint8_t {
  kStream,  // AAD, then text
  kCcm,     // the length of the text first: CCM authenticates it before everything else
  kGmac,    // everything is AAD (RFC 4543 section 5)
};

Shape ShapeOf(AlgorithmId id) {
  if (id == AlgorithmId::kAesCcm) return Shape::kCcm;
  return id == AlgorithmId::kAesGmac ? Shape::kGmac : Shape::kStream;
}

// Feeds the AAD and what must precede the text. The context knows the direction.
bool FeedFront(EVP_CIPHER_CTX* ctx, Shape shape, const CryptoJob& job) {
  const int length = static_cast<int>(job.text_length);
  int n = 0;
  return EVP_CipherInit_ex(ctx, nullptr, nullptr, nullptr, job.nonce.data(), -1) == 1 &&
         (shape != Shape::kCcm || EVP_CipherUpdate(ctx, nullptr, &n, nullptr, length) == 1) &&
         EVP_CipherUpdate(ctx, nullptr, &n, job.aad.data(), static_cast<int>(job.aad_length)) == 1;
}

bool FeedText(EVP_CIPHER_CTX* ctx, Shape shape, CryptoJob* job) {
  uint8_t* out = shape == Shape::kGmac ? nullptr : job->text;
  int n = 0;
  return EVP_CipherUpdate(ctx, out, &n, job->text, static_cast<int>(job->text_length)) == 1;
}

bool SealText(EVP_CIPHER_CTX* ctx, Shape shape, int icv_bytes, CryptoJob* job, uint8_t* icv) {
  int n = 0;
  return FeedFront(ctx, shape, *job) && FeedText(ctx, shape, job) &&
         EVP_EncryptFinal_ex(ctx, job->text, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, icv_bytes, icv) == 1;
}

class SealSession final : public Session {
 public:
  SealSession(LibraryPtr library, const SessionParams& params, std::vector<CipherCtx> contexts)
      : Session(std::move(library)),
        contexts_(std::move(contexts)),
        icv_bytes_(params.icv_bytes),
        shape_(ShapeOf(params.cipher->id)) {}

  void Run(uint32_t queue, std::span<CryptoJob> jobs) override {
    EVP_CIPHER_CTX* ctx = contexts_[queue].get();
    for (CryptoJob& job : jobs) {
      const bool sealed = SealText(ctx, shape_, icv_bytes_, &job, job.icv);
      job.status = sealed ? CryptoStatus::kOk : CryptoStatus::kError;
    }
  }

 private:
  const std::vector<CipherCtx> contexts_;  // one per queue
  const int icv_bytes_;
  const Shape shape_;
};

class OpenSession final : public Session {
 public:
  OpenSession(LibraryPtr library, const SessionParams& params, std::vector<CipherCtx> contexts)
      : Session(std::move(library)),
        contexts_(std::move(contexts)),
        icv_bytes_(params.icv_bytes),
        shape_(ShapeOf(params.cipher->id)) {}

  void Run(uint32_t queue, std::span<CryptoJob> jobs) override {
    for (CryptoJob& job : jobs) job.status = Open(contexts_[queue].get(), &job);
  }

 private:
  // OpenSSL decrypts before it verifies. The output of a forged packet is wiped here, so that no
  // caller can see it.
  CryptoStatus Open(EVP_CIPHER_CTX* ctx, CryptoJob* job) const {
    int n = 0;
    bool ran = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, icv_bytes_, job->icv) == 1 &&
               FeedFront(ctx, shape_, *job);
    const bool fed = ran && FeedText(ctx, shape_, job);
    // CCM verifies with the text and reports to the error queue; the others verify at the end,
    // silently.
    if (shape_ == Shape::kCcm) {
      if (fed) return CryptoStatus::kOk;
      ERR_clear_error();
    } else {
      ran = fed;
      if (fed && EVP_DecryptFinal_ex(ctx, job->text + job->text_length, &n) == 1) {
        return CryptoStatus::kOk;
      }
    }
    if (shape_ != Shape::kGmac) std::memset(job->text, 0, job->text_length);
    return ran ? CryptoStatus::kAuthFailed : CryptoStatus::kError;
  }

  const std::vector<CipherCtx> contexts_;  // one per queue
  const int icv_bytes_;
  const Shape shape_;
};

// CCM. EVP's own opening reports every forged packet to the thread's error queue, which allocates
// (OpenSSL 3.0), so forgeries would make us allocate. Therefore: decrypt in counter mode, seal that
// again, compare the ICVs, and only then decrypt finally. A forged packet is ciphertext again. Not
// in FIPS mode: a CCM composed here is not the provider's.
class CcmOpenSession final : public Session {
 public:
  CcmOpenSession(LibraryPtr library, const SessionParams& params, std::vector<CipherCtx> sealing,
                 std::vector<CipherCtx> counting)
      : Session(std::move(library)),
        sealing_(std::move(sealing)),
        counting_(std::move(counting)),
        icv_bytes_(params.icv_bytes) {}

  void Run(uint32_t queue, std::span<CryptoJob> jobs) override {
    for (CryptoJob& job : jobs) {
      job.status = Open(sealing_[queue].get(), counting_[queue].get(), &job);
    }
  }

 private:
  CryptoStatus Open(EVP_CIPHER_CTX* sealing, EVP_CIPHER_CTX* counting, CryptoJob* job) const {
    std::array<uint8_t, 16> icv;
    if (!Count(counting, job) ||
        !SealText(sealing, Shape::kCcm, static_cast<int>(icv_bytes_), job, icv.data())) {
      std::memset(job->text, 0, job->text_length);
      return CryptoStatus::kError;
    }
    if (CRYPTO_memcmp(icv.data(), job->icv, icv_bytes_) != 0) return CryptoStatus::kAuthFailed;
    return Count(counting, job) ? CryptoStatus::kOk : CryptoStatus::kError;
  }

  // RFC 4309 section 4: counter block = flags (size of the counter less 1) ‖ nonce ‖ counter.
  static bool Count(EVP_CIPHER_CTX* ctx, CryptoJob* job) {
    std::array<uint8_t, 16> counter{3};
    std::copy_n(job->nonce.begin(), 11, counter.begin() + 1);
    counter[15] = 1;
    int n = 0;
    return EVP_EncryptInit_ex(ctx, nullptr, nullptr, nullptr, counter.data()) == 1 &&
           EVP_EncryptUpdate(ctx, job->text, &n, job->text, static_cast<int>(job->text_length)) ==
               1;
  }

  const std::vector<CipherCtx> sealing_;   // one per queue
  const std::vector<CipherCtx> counting_;  // one per queue
  const std::size_t icv_bytes_;
};

// A context that holds the key; every job sets its own nonce.
CipherCtx KeyedContext(const EVP_CIPHER* cipher, const SessionParams& params,
                       CryptoDirection direction) {
  const AlgorithmDescriptor& algorithm = *params.cipher;
  const int seal = direction == CryptoDirection::kSeal ? 1 : 0;
  CipherCtx ctx(EVP_CIPHER_CTX_new());
  const bool keyed =
      ctx != nullptr &&
      EVP_CipherInit_ex(ctx.get(), cipher, nullptr, nullptr, nullptr, seal) == 1 &&
      EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_IVLEN, algorithm.nonce_bytes(), nullptr) ==
          1 &&
      (algorithm.id != AlgorithmId::kAesCcm ||
       EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_TAG, params.icv_bytes, nullptr) == 1) &&
      EVP_CipherInit_ex(ctx.get(), nullptr, nullptr, params.key.data(), nullptr, seal) == 1;
  return keyed ? std::move(ctx) : nullptr;
}

CipherCtx CounterContext(const EVP_CIPHER* cipher, const SessionParams& params) {
  CipherCtx ctx(EVP_CIPHER_CTX_new());
  const bool keyed = ctx != nullptr && EVP_EncryptInit_ex(ctx.get(), cipher, nullptr,
                                                          params.key.data(), nullptr) == 1;
  return keyed ? std::move(ctx) : nullptr;
}

// One context per queue; empty if the library refuses.
template <typename Fn>
std::vector<CipherCtx> PerQueue(const EVP_CIPHER* cipher, uint32_t queues, Fn make) {
  std::vector<CipherCtx> contexts;
  for (uint32_t i = 0; i < queues && cipher != nullptr; ++i) {
    contexts.push_back(make(cipher));
    if (contexts.back() == nullptr) return {};
  }
  return contexts;
}

CipherPtr Fetch(const Library& library, const SessionParams& params, AlgorithmId id) {
  return library.Cipher(CipherName(id, params.key.size() - params.cipher->salt_bytes));
}

}  // namespace

Result<std::unique_ptr<CryptoSession>> CreateAeadSession(const LibraryPtr& library,
                                                         const SessionParams& params) {
  const bool own_ccm = params.cipher->id == AlgorithmId::kAesCcm &&
                       params.direction == CryptoDirection::kOpen && !library->fips_mode();
  const CryptoDirection direction = own_ccm ? CryptoDirection::kSeal : params.direction;
  const CipherPtr cipher = Fetch(*library, params, params.cipher->id);
  auto contexts = PerQueue(cipher.get(), params.queues, [&](const EVP_CIPHER* fetched) {
    return KeyedContext(fetched, params, direction);
  });
  std::vector<CipherCtx> counting;
  if (own_ccm) {
    const CipherPtr counter = Fetch(*library, params, AlgorithmId::kAesCtr);
    counting = PerQueue(counter.get(), params.queues,
                        [&](const EVP_CIPHER* fetched) { return CounterContext(fetched, params); });
  }
  if (contexts.empty() || (own_ccm && counting.empty())) {
    ERR_clear_error();
    return MakeError(Errc::kInvalid, "openssl: the library refused the key");
  }
  std::unique_ptr<CryptoSession> session;
  if (own_ccm) {
    session =
        std::make_unique<CcmOpenSession>(library, params, std::move(contexts), std::move(counting));
  } else if (direction == CryptoDirection::kSeal) {
    session = std::make_unique<SealSession>(library, params, std::move(contexts));
  } else {
    session = std::make_unique<OpenSession>(library, params, std::move(contexts));
  }
  return session;
}

}  // namespace cygnet::openssl
