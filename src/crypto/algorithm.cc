#include "crypto/algorithm.h"

namespace cygnet {
namespace {

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
};

}  // namespace

bool AlgorithmDescriptor::AcceptsKeyMaterial(std::size_t bytes_with_salt) const {
  if (any_key_length) return bytes_with_salt > salt_bytes;
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

std::span<const AlgorithmDescriptor> AllAlgorithms() { return kAlgorithms; }

}  // namespace cygnet
