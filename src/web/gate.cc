#include "web/gate.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <vector>

namespace cygnet::web {
namespace {

bool IsIpAddress(const std::string& text) {
  in6_addr parsed{};
  return inet_pton(AF_INET, text.c_str(), &parsed) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &parsed) == 1;
}

std::string Lower(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name;
}

// Without the port; of [::1]:9470, ::1.
std::string NameOf(std::string_view host) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    return end == std::string_view::npos ? std::string() : std::string(host.substr(1, end - 1));
  }
  return Lower(std::string(host.substr(0, host.find(':'))));
}

// The password of "Basic": what a browser asks its user for. Empty: not valid.
std::string PasswordOf(std::string_view base64) {
  constexpr std::size_t kMost = 2048;
  if (base64.empty() || base64.size() > kMost || base64.size() % 4 != 0) return {};
  std::vector<unsigned char> bytes(base64.size());
  const std::string text(base64);
  const int size = EVP_DecodeBlock(bytes.data(),
                                   reinterpret_cast<const unsigned char*>(text.data()),  // NOLINT
                                   static_cast<int>(text.size()));
  if (size < 0) return {};
  std::string decoded(bytes.begin(), bytes.begin() + size);
  for (std::size_t i = 0; i < 2 && base64[base64.size() - 1 - i] == '='; ++i) {
    if (!decoded.empty()) decoded.pop_back();
  }
  const std::size_t colon = decoded.find(':');
  return colon == std::string::npos ? std::string() : decoded.substr(colon + 1);
}

}  // namespace

bool SameSecret(std::string_view a, std::string_view b) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> hash_a{};
  std::array<unsigned char, SHA256_DIGEST_LENGTH> hash_b{};
  if (EVP_Digest(a.data(), a.size(), hash_a.data(), nullptr, EVP_sha256(), nullptr) != 1 ||
      EVP_Digest(b.data(), b.size(), hash_b.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    return false;
  }
  return CRYPTO_memcmp(hash_a.data(), hash_b.data(), hash_a.size()) == 0;
}

// A page of another site can make its name point to this address (DNS rebinding), but cannot make
// the browser send another name or an address.
bool Gate::KnowsHost(std::string_view host) const {
  const std::string name = NameOf(host);
  if (name == "localhost" || IsIpAddress(name)) return true;
  return std::any_of(hosts_.begin(), hosts_.end(),
                     [&name](const std::string& known) { return Lower(known) == name; });
}

bool Gate::HasToken(std::string_view authorization) const {
  constexpr std::string_view kBearer = "Bearer ";
  constexpr std::string_view kBasic = "Basic ";
  if (authorization.starts_with(kBearer)) {
    return SameSecret(authorization.substr(kBearer.size()), token_);
  }
  if (!authorization.starts_with(kBasic)) return false;
  return SameSecret(PasswordOf(authorization.substr(kBasic.size())), token_);
}

Refusal Gate::Check(const Visit& visit) const {
  if (visit.method != "GET" && visit.method != "HEAD") {
    return {405, "This server only shows: use GET.\n"};
  }
  if (!KnowsHost(visit.host)) {
    return {421,
            "This server does not know the name by which it was called. Call it by its address, or "
            "start cygnet-web with --host NAME.\n"};
  }
  // Another site gets nothing to read anyway; it shall not use up connections either.
  const bool page = visit.path == "/";
  if (!page && (visit.fetch_site == "cross-site" || visit.fetch_site == "same-site")) {
    return {403, "This server answers only its own page.\n"};
  }
  if (!token_.empty() && !HasToken(visit.authorization)) {
    return {401, "Give the token: any user name, and the token as the password.\n"};
  }
  return {};
}

}  // namespace cygnet::web
