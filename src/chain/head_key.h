// HeadKey: the host's Ed25519 key that signs the heads of its ledger's chain.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/key_material.h"
#include "base/result.h"

namespace cygnet {

using HeadPublicKey = std::array<uint8_t, 32>;
using HeadSignature = std::array<uint8_t, 64>;

class HeadKey {
 public:
  // Reads the private key from `path`, or makes one and writes it there, mode 0600. An error: the
  // file is damaged, others may read it, the disk is full, or OpenSSL has no Ed25519 here.
  static Result<HeadKey> Open(const std::string& path);

  const HeadPublicKey& public_key() const { return public_key_; }
  std::string public_text() const;
  Result<HeadSignature> Sign(std::string_view text) const;

 private:
  explicit HeadKey(KeyMaterial seed) : seed_(std::move(seed)) {}

  KeyMaterial seed_;
  HeadPublicKey public_key_{};
};

// False, too, if OpenSSL has no Ed25519 here: see HasSignatures.
bool SignatureHolds(const HeadPublicKey& key, std::string_view text,
                    const HeadSignature& signature);
bool HasSignatures();

// What a head says besides its signature.
struct HeadText {
  std::string_view host;
  std::string_view time;
  std::string_view why;   // "start", "file", "hour", "stop"
  std::string_view of;    // number of the last line that it covers
  std::string_view hash;  // of the chain up to that line
};
// The text that is signed.
std::string SignedText(const HeadText& head);

}  // namespace cygnet
