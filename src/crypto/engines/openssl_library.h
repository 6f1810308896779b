// Where the OpenSSL engine gets its algorithms from: the process's own context with whatever
// provider it has, or, in FIPS mode, a context of its own with the FIPS provider and nothing else
// that does cryptography.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>

#include "crypto/crypto_engine.h"

namespace cygnet::openssl {

struct CipherDeleter {
  void operator()(EVP_CIPHER* cipher) const { EVP_CIPHER_free(cipher); }
};
struct MacDeleter {
  void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
};
using CipherPtr = std::unique_ptr<EVP_CIPHER, CipherDeleter>;
using MacPtr = std::unique_ptr<EVP_MAC, MacDeleter>;

// Never changes after it is made: any thread may fetch. Sessions share it, for what they fetched
// dies with the context.
class Library {
 public:
  // Fetches from the process's own context.
  static std::shared_ptr<const Library> Default();
  // Never fails: without a FIPS provider that loads it is a context of the default provider, and
  // identity() says so.
  static std::shared_ptr<const Library> Fips();
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  // nullptr: the provider has it not.
  CipherPtr Cipher(const char* name) const;
  MacPtr Mac(const char* name) const;
  // "fips=yes" when the FIPS provider is there: what a MAC fetches in turn is held to it as well.
  const char* properties() const { return properties_; }
  // FIPS mode was asked for: whole algorithms of the provider, nothing put together here.
  bool fips_mode() const { return fips_mode_; }
  const ModuleIdentity& identity() const { return identity_; }

 private:
  explicit Library(bool fips_mode) : fips_mode_(fips_mode) {}
  void LoadFips();

  const bool fips_mode_;
  OSSL_LIB_CTX* context_ = nullptr;  // nullptr: the process's
  OSSL_PROVIDER* provider_ = nullptr;
  OSSL_PROVIDER* base_ = nullptr;
  const char* properties_ = nullptr;
  ModuleIdentity identity_;
};

}  // namespace cygnet::openssl
