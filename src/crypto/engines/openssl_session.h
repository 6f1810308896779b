// What the parts of the OpenSSL engine share: owned EVP contexts and the session base. An EVP
// context is not for two threads at once, so everything that a job writes to exists once per queue.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "crypto/crypto_engine.h"

namespace cygnet::openssl {

struct CipherCtxDeleter {
  void operator()(EVP_CIPHER_CTX* ctx) const { EVP_CIPHER_CTX_free(ctx); }  // wipes the key
};
using CipherCtx = std::unique_ptr<EVP_CIPHER_CTX, CipherCtxDeleter>;

class Session : public CryptoSession {
 public:
  // Finishes jobs that are all of this session; `queue` is the calling thread's.
  virtual void Run(uint32_t queue, std::span<CryptoJob> jobs) = 0;
};

// REQUIRES: lengths are those of the table. The error text names no key.
Result<std::unique_ptr<CryptoSession>> CreateAeadSession(const SessionParams& params);
Result<std::unique_ptr<CryptoSession>> CreatePairSession(const SessionParams& params);

}  // namespace cygnet::openssl
