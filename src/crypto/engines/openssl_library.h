// Where the OpenSSL engine fetches its algorithms: from the process's own context with its
// providers, or, in FIPS mode, from a separate context whose only cryptographic provider is the
// FIPS provider.
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

// Immutable: any thread may fetch. Sessions share it, because what they fetched dies with the
// context.
class Library {
 public:
  // Fetches from the process's own context.
  static std::shared_ptr<const Library> Default();
  // Never fails: if the FIPS provider does not load, it uses the default provider, and identity()
  // reports that.
  static std::shared_ptr<const Library> Fips();
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  // nullptr if the provider lacks it.
  CipherPtr Cipher(const char* name) const;
  MacPtr Mac(const char* name) const;
  // "fips=yes" if the FIPS provider is loaded, so that algorithms a MAC fetches also come from it.
  const char* properties() const { return properties_; }
  // FIPS mode was requested: use only complete algorithms of the provider, none composed here.
  bool fips_mode() const { return fips_mode_; }
  const ModuleIdentity& identity() const { return identity_; }

 private:
  explicit Library(bool fips_mode) : fips_mode_(fips_mode) {}
  void LoadFips();

  const bool fips_mode_;
  OSSL_LIB_CTX* context_ = nullptr;  // nullptr: the process's context
  OSSL_PROVIDER* provider_ = nullptr;
  OSSL_PROVIDER* base_ = nullptr;
  const char* properties_ = nullptr;
  ModuleIdentity identity_;
};

}  // namespace cygnet::openssl
