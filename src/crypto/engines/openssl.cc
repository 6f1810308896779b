// Engine over OpenSSL's EVP interface: the reference for every other engine, and the FIPS-capable
// one.
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <cstring>
#include <vector>

#include "base/key_material.h"
#include "crypto/crypto_engine.h"

namespace cygnet {
namespace {

const EVP_CIPHER* GcmCipher(std::size_t key_bytes) {
  switch (key_bytes) {
    case 16:
      return EVP_aes_128_gcm();
    case 24:
      return EVP_aes_192_gcm();
    case 32:
      return EVP_aes_256_gcm();
    default:
      return nullptr;
  }
}

struct CtxDeleter {
  void operator()(EVP_CIPHER_CTX* ctx) const { EVP_CIPHER_CTX_free(ctx); }  // wipes the key
};
using CtxPtr = std::unique_ptr<EVP_CIPHER_CTX, CtxDeleter>;

// An EVP context is not for two threads at once, so a session has one per queue.
class OpensslSession final : public CryptoSession {
 public:
  std::vector<CtxPtr> contexts;
  int icv_bytes = 0;
  CryptoDirection direction = CryptoDirection::kSeal;
};

bool Seal(EVP_CIPHER_CTX* ctx, const OpensslSession& s, CryptoJob* job) {
  int n = 0;
  return EVP_EncryptInit_ex(ctx, nullptr, nullptr, nullptr, job->nonce.data()) == 1 &&
         EVP_EncryptUpdate(ctx, nullptr, &n, job->aad.data(), static_cast<int>(job->aad_length)) ==
             1 &&
         EVP_EncryptUpdate(ctx, job->text, &n, job->text, static_cast<int>(job->text_length)) ==
             1 &&
         EVP_EncryptFinal_ex(ctx, job->text + n, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, s.icv_bytes, job->icv) == 1;
}

// OpenSSL opens before it verifies; what it wrote for a forged packet is wiped here, so that no
// caller can ever look at it.
CryptoStatus Open(EVP_CIPHER_CTX* ctx, const OpensslSession& s, CryptoJob* job) {
  int n = 0;
  const bool ran =
      EVP_DecryptInit_ex(ctx, nullptr, nullptr, nullptr, job->nonce.data()) == 1 &&
      EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, s.icv_bytes, job->icv) == 1 &&
      EVP_DecryptUpdate(ctx, nullptr, &n, job->aad.data(), static_cast<int>(job->aad_length)) ==
          1 &&
      EVP_DecryptUpdate(ctx, job->text, &n, job->text, static_cast<int>(job->text_length)) == 1;
  if (ran && EVP_DecryptFinal_ex(ctx, job->text + n, &n) == 1) {
    return CryptoStatus::kOk;
  }
  std::memset(job->text, 0, job->text_length);
  return ran ? CryptoStatus::kAuthFailed : CryptoStatus::kError;
}

class OpensslQueue final : public CryptoQueue {
 public:
  explicit OpensslQueue(uint32_t number) : number_(number) {}

  std::size_t Submit(std::span<CryptoJob> jobs) override {
    for (CryptoJob& job : jobs) {
      const auto& session = static_cast<const OpensslSession&>(*job.session);
      EVP_CIPHER_CTX* ctx = session.contexts[number_].get();
      if (session.direction == CryptoDirection::kSeal) {
        job.status = Seal(ctx, session, &job) ? CryptoStatus::kOk : CryptoStatus::kError;
      } else {
        job.status = Open(ctx, session, &job);
      }
    }
    return jobs.size();
  }

 private:
  const uint32_t number_;
};

class OpensslEngine final : public CryptoEngine {
 public:
  std::string_view name() const override { return "openssl"; }

  bool Supports(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) const override {
    return cipher.id == AlgorithmId::kAesGcm && auth == nullptr;
  }

  Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) override {
    const AlgorithmDescriptor& algorithm = *params.cipher;
    if (!Supports(algorithm, params.auth) || !algorithm.AcceptsKeyMaterial(params.key.size()) ||
        !algorithm.AcceptsIcv(params.icv_bytes) || params.queues > kMaxCryptoQueues) {
      return MakeError(Errc::kInvalid, "openssl: algorithm, key or ICV length not supported");
    }
    const std::size_t key_bytes = params.key.size() - algorithm.salt_bytes;
    const EVP_CIPHER* cipher = GcmCipher(key_bytes);
    auto session = std::make_unique<OpensslSession>();
    session->icv_bytes = params.icv_bytes;
    session->direction = params.direction;
    const int seal = params.direction == CryptoDirection::kSeal ? 1 : 0;
    for (uint32_t i = 0; i < params.queues; ++i) {
      CtxPtr ctx(EVP_CIPHER_CTX_new());
      if (ctx == nullptr ||
          EVP_CipherInit_ex(ctx.get(), cipher, nullptr, nullptr, nullptr, seal) != 1 ||
          EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_IVLEN, algorithm.nonce_bytes(),
                              nullptr) != 1 ||
          EVP_CipherInit_ex(ctx.get(), nullptr, nullptr, params.key.data(), nullptr, seal) != 1) {
        return MakeError(Errc::kInvalid, "openssl: the library refused the key");
      }
      session->contexts.push_back(std::move(ctx));
    }
    return std::unique_ptr<CryptoSession>(std::move(session));
  }

  std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) override {
    return std::make_unique<OpensslQueue>(number);
  }
};

}  // namespace

extern const EngineInfo kOpensslEngine;
const EngineInfo kOpensslEngine = {
    .name = "openssl",
    .help = "OpenSSL libcrypto on the CPU",
    .probe = [] { return 10; },
    .create = [](const EngineOptions&) -> std::unique_ptr<CryptoEngine> {
      return std::make_unique<OpensslEngine>();
    },
    .version = [] { return std::string(OpenSSL_version(OPENSSL_VERSION_STRING)); },
};

}  // namespace cygnet
