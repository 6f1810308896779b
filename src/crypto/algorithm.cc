#include "crypto/algorithm.h"

namespace cygnet {
namespace {

constexpr AlgorithmDescriptor kAlgorithms[] = {
    {.id = AlgorithmId::kAesGcm16,
     .kind = AlgorithmKind::kAead,
     .name = "rfc4106(gcm(aes))",
     .alias = "",
     .key_bytes = {16, 24, 32},
     .salt_bytes = 4,
     .iv_bytes = 8,
     .nonce_bytes = 12,
     .block_bytes = 1,
     .icv_bytes = {16, 12, 8},
     .rfc = "RFC 4106"},
};

}  // namespace

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
