// Shared parts of the OpenSSL engine: owned EVP contexts and the session base. Two threads must not
// use one EVP context at once, so everything that a job writes exists once per queue.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "crypto/crypto_engine.h"
#include "crypto/engines/openssl_library.h"

namespace cygnet::openssl {

struct CipherCtxDeleter {
  void operator()(EVP_CIPHER_CTX* ctx) const { EVP_CIPHER_CTX_free(ctx); }  // wipes the key
};
using CipherCtx = std::unique_ptr<EVP_CIPHER_CTX, CipherCtxDeleter>;

using LibraryPtr = std::shared_ptr<const Library>;

class Session : public CryptoSession {
 public:
  explicit Session(LibraryPtr library) : library_(std::move(library)) {}
  // Finishes jobs, all of this session. `queue` is the calling thread's number.
  virtual void Run(uint32_t queue, std::span<CryptoJob> jobs) = 0;

 private:
  const LibraryPtr library_;  // outlives the contexts of the derived class
};

// OpenSSL's name of the cipher with a key of that length; nullptr if it has none.
const char* CipherName(AlgorithmId id, std::size_t key_bytes);

// REQUIRES: the lengths are valid in the table. Error texts contain no key.
Result<std::unique_ptr<CryptoSession>> CreateAeadSession(const LibraryPtr& library,
                                                         const SessionParams& params);
Result<std::unique_ptr<CryptoSession>> CreatePairSession(const LibraryPtr& library,
                                                         const SessionParams& params);

}  // namespace cygnet::openssl
