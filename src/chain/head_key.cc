#include "chain/head_key.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include <memory>
#include <utility>

#include "base/text_file.h"
#include "chain/hash_chain.h"

namespace cygnet {
namespace {

constexpr std::size_t kSeedBytes = 32;

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

Key PrivateKey(const KeyMaterial& seed) {
  return Key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.bytes().data(), seed.size()));
}

Error NoEd25519() {
  ERR_clear_error();
  return MakeError(Errc::kNotSupported, "this host's OpenSSL offers no Ed25519 signature");
}

// The file has the seed as hexadecimal digits and a line feed.
Result<KeyMaterial> ReadSeed(const std::string& path) {
  auto text = ReadOwnFile(path);
  if (!text) return text.error();
  struct stat info {};
  const bool is_ours = lstat(path.c_str(), &info) == 0 && (info.st_mode & 077) == 0;
  std::array<uint8_t, kSeedBytes> bytes{};
  const std::string_view digits = std::string_view(*text).substr(0, 2 * kSeedBytes);
  const bool whole = text->size() == 2 * kSeedBytes + 1 && text->back() == '\n' &&
                     ReadHex(digits, bytes.data(), bytes.size());
  KeyMaterial seed(bytes);
  SecureWipe(bytes.data(), bytes.size());
  SecureWipe(text->data(), text->size());
  if (!is_ours) {
    return MakeError(
        Errc::kPermission,
        path + ": other users may read it; move it away, and the next start makes one");
  }
  if (!whole) {
    return MakeError(Errc::kInvalid,
                     path + ": not a key of cygnetd; move it away, and the next start makes one");
  }
  return seed;
}

Result<KeyMaterial> MakeSeed(const std::string& path) {
  std::array<uint8_t, kSeedBytes> bytes{};
  if (RAND_priv_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    return MakeError(Errc::kIo, path + ": OpenSSL has no random numbers");
  }
  KeyMaterial seed(bytes);
  std::string text = HexText(bytes.data(), bytes.size()) + '\n';
  SecureWipe(bytes.data(), bytes.size());
  const auto made = ReplaceFile(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  SecureWipe(text.data(), text.size());
  if (!made) return made.error();
  return seed;
}

}  // namespace

Result<HeadKey> HeadKey::Open(const std::string& path) {
  if (!HasSignatures()) return NoEd25519();  // leaves no key that nobody can use
  auto seed = ReadSeed(path);
  if (!seed && seed.error().code == Errc::kNoEntry) seed = MakeSeed(path);
  if (!seed) return seed.error();
  HeadKey key(*std::move(seed));
  std::size_t size = key.public_key_.size();
  const Key made = PrivateKey(key.seed_);
  if (made == nullptr ||
      EVP_PKEY_get_raw_public_key(made.get(), key.public_key_.data(), &size) != 1) {
    return NoEd25519();
  }
  return key;
}

std::string HeadKey::public_text() const { return HexText(public_key_.data(), public_key_.size()); }

Result<HeadSignature> HeadKey::Sign(std::string_view text) const {
  HeadSignature signature{};
  std::size_t size = signature.size();
  const Key key = PrivateKey(seed_);
  const Context context(EVP_MD_CTX_new());
  if (key == nullptr || context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size,
                     reinterpret_cast<const uint8_t*>(text.data()), text.size()) != 1) {
    return NoEd25519();
  }
  return signature;
}

bool SignatureHolds(const HeadPublicKey& key, std::string_view text,
                    const HeadSignature& signature) {
  const Key public_key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()));
  const Context context(EVP_MD_CTX_new());
  const bool holds =
      public_key != nullptr && context != nullptr &&
      EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, public_key.get()) == 1 &&
      EVP_DigestVerify(context.get(), signature.data(), signature.size(),
                       reinterpret_cast<const uint8_t*>(text.data()), text.size()) == 1;
  ERR_clear_error();
  return holds;
}

bool HasSignatures() {
  const std::array<uint8_t, kSeedBytes> any{1};
  const Key key = PrivateKey(KeyMaterial(any));
  const Context context(EVP_MD_CTX_new());
  const bool has = key != nullptr && context != nullptr &&
                   EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1;
  ERR_clear_error();
  return has;
}

std::string SignedText(const HeadText& head) {
  std::string text = "cygnet ledger head";
  for (const std::string_view part : {head.host, head.time, head.why, head.of, head.hash}) {
    text += '\n';
    text += part;
  }
  return text;
}

}  // namespace cygnet
