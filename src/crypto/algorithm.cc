#include "crypto/algorithm.h"

#include <iterator>

namespace cygnet {
namespace {

// Names and key, salt and ICV lengths equal Linux's (net/xfrm/xfrm_algo.c), so an SA means the same
// in both. Algorithms that RFC 8221 forbids (MD5, DES, Blowfish and others) have no row.
constexpr AlgorithmDescriptor kAlgorithms[] = {
    {.id = AlgorithmId::kAesGcm,
     .kind = AlgorithmKind::kAead,
     .name = "rfc4106(gcm(aes))",
     .alias = "",
     .key_bytes = {16, 24, 32},
     .salt_bytes = 4,
     .iv_bytes = 8,
     .iv_form = IvForm::kCounter,
     .icv_bytes = {16, 12, 8},
     .fips_approved = true,
     .rfc = "RFC 4106"},
    {.id = AlgorithmId::kAesCcm,
     .kind = AlgorithmKind::kAead,
     .name = "rfc4309(ccm(aes))",
     .alias = "",
     .key_bytes = {16, 24, 32},
     .salt_bytes = 3,
     .iv_bytes = 8,
     .iv_form = IvForm::kCounter,
     .icv_bytes = {16, 12, 8},
     .fips_approved = true,
     .rfc = "RFC 4309"},
    {.id = AlgorithmId::kAesGmac,
     .kind = AlgorithmKind::kAead,
     .name = "rfc4543(gcm(aes))",
     .alias = "",
     .key_bytes = {16, 24, 32},
     .salt_bytes = 4,
     .iv_bytes = 8,
     .iv_form = IvForm::kCounter,
     .iv_in_aad = true,
     .icv_bytes = {16},
     .fips_approved = true,
     .rfc = "RFC 4543"},
    {.id = AlgorithmId::kChaCha20Poly1305,
     .kind = AlgorithmKind::kAead,
     .name = "rfc7539esp(chacha20,poly1305)",
     .alias = "",
     .key_bytes = {32},
     .salt_bytes = 4,
     .iv_bytes = 8,
     .iv_form = IvForm::kCounter,
     .icv_bytes = {16},
     .rfc = "RFC 7634"},
    {.id = AlgorithmId::kNullCipher,
     .kind = AlgorithmKind::kCipher,
     .name = "ecb(cipher_null)",
     .alias = "cipher_null",
     .key_bytes = {},
     .rfc = "RFC 2410"},
    {.id = AlgorithmId::kAesCbc,
     .kind = AlgorithmKind::kCipher,
     .name = "cbc(aes)",
     .alias = "aes",
     .key_bytes = {16, 24, 32},
     .iv_bytes = 16,
     .iv_form = IvForm::kSealed,
     .block_bytes = 16,
     .fips_approved = true,
     .rfc = "RFC 3602"},
    {.id = AlgorithmId::kAesCtr,
     .kind = AlgorithmKind::kCipher,
     .name = "rfc3686(ctr(aes))",
     .alias = "",
     .key_bytes = {16, 24, 32},
     .salt_bytes = 4,
     .iv_bytes = 8,
     .iv_form = IvForm::kCounter,
     .fips_approved = true,
     .rfc = "RFC 3686"},
    {.id = AlgorithmId::kDes3Cbc,
     .kind = AlgorithmKind::kCipher,
     .name = "cbc(des3_ede)",
     .alias = "des3_ede",
     .key_bytes = {24},
     .iv_bytes = 8,
     .iv_form = IvForm::kSealed,
     .block_bytes = 8,
     .rfc = "RFC 2451"},
    {.id = AlgorithmId::kHmacSha1,
     .kind = AlgorithmKind::kAuth,
     .name = "hmac(sha1)",
     .alias = "sha1",
     .key_bytes = {20},
     .any_key_length = true,
     .icv_bytes = {20, 12},
     .fips_approved = true,
     .rfc = "RFC 2404"},
    {.id = AlgorithmId::kHmacSha256,
     .kind = AlgorithmKind::kAuth,
     .name = "hmac(sha256)",
     .alias = "sha256",
     .key_bytes = {32},
     .any_key_length = true,
     .icv_bytes = {32, 12},  // 96 bits as in Linux; RFC 4868's 128 must be requested
     .fips_approved = true,
     .rfc = "RFC 4868"},
    {.id = AlgorithmId::kHmacSha384,
     .kind = AlgorithmKind::kAuth,
     .name = "hmac(sha384)",
     .alias = "",
     .key_bytes = {48},
     .any_key_length = true,
     .icv_bytes = {48, 24},
     .fips_approved = true,
     .rfc = "RFC 4868"},
    {.id = AlgorithmId::kHmacSha512,
     .kind = AlgorithmKind::kAuth,
     .name = "hmac(sha512)",
     .alias = "",
     .key_bytes = {64},
     .any_key_length = true,
     .icv_bytes = {64, 32},
     .fips_approved = true,
     .rfc = "RFC 4868"},
    {.id = AlgorithmId::kAesXcbc,
     .kind = AlgorithmKind::kAuth,
     .name = "xcbc(aes)",
     .alias = "",
     .key_bytes = {16},
     .icv_bytes = {16, 12},
     .rfc = "RFC 3566"},
    {.id = AlgorithmId::kAesCmac,
     .kind = AlgorithmKind::kAuth,
     .name = "cmac(aes)",
     .alias = "",
     .key_bytes = {16},
     .icv_bytes = {16, 12},
     .fips_approved = true,
     .rfc = "RFC 4494"},
};

}  // namespace

bool AlgorithmDescriptor::AcceptsKeyMaterial(std::size_t bytes_with_salt) const {
  if (any_key_length) return bytes_with_salt > 0 && bytes_with_salt <= kMaxAnyKeyBytes;
  for (const uint16_t k : key_bytes) {
    const bool no_key = kind == AlgorithmKind::kCipher && key_bytes[0] == 0;  // the null cipher
    if ((k != 0 || no_key) && bytes_with_salt == std::size_t{k} + salt_bytes) return true;
  }
  return false;
}

bool AlgorithmDescriptor::AcceptsIcv(std::size_t bytes) const {
  if (kind == AlgorithmKind::kAuth) return bytes > 0 && bytes <= icv_bytes[0];
  for (const uint8_t i : icv_bytes) {
    if (i != 0 && i == bytes) return true;
  }
  return false;
}

const AlgorithmDescriptor* FindAlgorithm(AlgorithmKind kind, std::string_view name) {
  for (const AlgorithmDescriptor& row : kAlgorithms) {
    if (row.kind == kind && (row.name == name || (!row.alias.empty() && row.alias == name))) {
      return &row;
    }
  }
  return nullptr;
}

static_assert(std::size(kAlgorithms) == kAlgorithmCount);
std::span<const AlgorithmDescriptor> AllAlgorithms() { return kAlgorithms; }

}  // namespace cygnet
