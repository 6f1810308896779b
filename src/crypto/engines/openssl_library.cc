#include "crypto/engines/openssl_library.h"

#include <openssl/conf.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <unistd.h>

#include <cstdlib>

namespace cygnet::openssl {
namespace {

std::string LibraryVersion() { return OpenSSL_version(OPENSSL_VERSION_STRING); }

// The path where OpenSSL looks for the FIPS provider.
std::string FipsModulePath() {
  const char* folder = std::getenv("OPENSSL_MODULES");
  if (folder == nullptr) folder = OPENSSL_info(OPENSSL_INFO_MODULES_DIR);
  return std::string(folder != nullptr ? folder : "") + "/fips.so";
}

// Empties the thread's error queue and returns the reason of its first entry.
std::string TakeError() {
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  const char* reason = first == 0 ? nullptr : ERR_reason_error_string(first);
  return reason != nullptr ? reason : "no reason given";
}

ModuleIdentity FipsIdentity(const OSSL_PROVIDER* provider) {
  const char* name = nullptr;
  const char* version = nullptr;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_NAME, const_cast<char**>(&name), 0),
      OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_VERSION, const_cast<char**>(&version), 0),
      OSSL_PARAM_construct_end()};
  if (OSSL_PROVIDER_get_params(provider, params) != 1) ERR_clear_error();
  return {.model = name != nullptr ? name : "OpenSSL FIPS Provider",
          .version = version != nullptr ? version : ""};
}

std::string Advice(const std::string& load_error) {
  const std::string path = FipsModulePath();
  if (access(path.c_str(), F_OK) != 0) {
    return "the FIPS provider was not found (" + path +
           "): install a package that ships it (Debian 13: openssl-provider-fips) and run "
           "'openssl fipsinstall'";
  }
  return "the FIPS provider (" + path + ") did not load (" + load_error +
         "): run 'openssl fipsinstall' and include the file it writes in openssl.cnf";
}

}  // namespace

std::shared_ptr<const Library> Library::Default() {
  static const std::shared_ptr<const Library> library = [] {
    std::shared_ptr<Library> made(new Library(false));
    made->identity_ = {
        .model = "OpenSSL default provider",
        .version = LibraryVersion(),
        .advice = "restart cygnetd in FIPS mode; only then does it load OpenSSL's FIPS provider"};
    return made;
  }();
  return library;
}

std::shared_ptr<const Library> Library::Fips() {
  std::shared_ptr<Library> library(new Library(true));
  library->LoadFips();
  return library;
}

// The provider checks its own bytes against a file that fipsinstall wrote and openssl.cnf includes,
// so the configuration is read first. It may activate other providers; fetching by property keeps
// them out.
void Library::LoadFips() {
  context_ = OSSL_LIB_CTX_new();
  CYGNET_CHECK(context_ != nullptr);
  ERR_clear_error();
  char* config = CONF_get1_default_config_file();
  const bool configured =
      config != nullptr && access(config, R_OK) == 0 && OSSL_LIB_CTX_load_config(context_, config);
  OPENSSL_free(config);
  if (configured) ERR_clear_error();
  provider_ = OSSL_PROVIDER_load(context_, "fips");
  if (provider_ != nullptr && OSSL_PROVIDER_self_test(provider_) == 1) {
    base_ = OSSL_PROVIDER_load(context_, "base");
    properties_ = "fips=yes";
    identity_ = FipsIdentity(provider_);
    return;
  }
  const std::string error = TakeError();
  // Use a new context: the configuration may have activated anything in the old one.
  if (provider_ != nullptr) OSSL_PROVIDER_unload(provider_);
  OSSL_LIB_CTX_free(context_);
  context_ = OSSL_LIB_CTX_new();
  CYGNET_CHECK(context_ != nullptr);
  provider_ = OSSL_PROVIDER_load(context_, "default");
  identity_ = {
      .model = "OpenSSL default provider", .version = LibraryVersion(), .advice = Advice(error)};
}

Library::~Library() {
  if (base_ != nullptr) OSSL_PROVIDER_unload(base_);
  if (provider_ != nullptr) OSSL_PROVIDER_unload(provider_);
  OSSL_LIB_CTX_free(context_);
}

CipherPtr Library::Cipher(const char* name) const {
  CipherPtr cipher(EVP_CIPHER_fetch(context_, name, properties_));
  if (cipher == nullptr) ERR_clear_error();
  return cipher;
}

MacPtr Library::Mac(const char* name) const {
  MacPtr mac(EVP_MAC_fetch(context_, name, properties_));
  if (mac == nullptr) ERR_clear_error();
  return mac;
}

}  // namespace cygnet::openssl
