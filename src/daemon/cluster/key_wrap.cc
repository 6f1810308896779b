#include "daemon/cluster/key_wrap.h"

#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "base/text_file.h"
#include "control/numbers/keyed_hash.h"

namespace cygnet {
namespace {

constexpr std::size_t kWrapBlock = 8;

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const EVP_CIPHER* CipherOf(const KeyMaterial& key) {
  switch (key.size()) {
    case 16:
      return EVP_aes_128_wrap_pad();
    case 24:
      return EVP_aes_192_wrap_pad();
    case 32:
      return EVP_aes_256_wrap_pad();
    default:
      return nullptr;
  }
}

enum class Way : int { kUnwrap = 0, kWrap = 1 };

// `out` has room for what it may become. False: it fails.
bool Run(Way way, const KeyMaterial& key, std::span<const uint8_t> in, netlink::Buffer* out) {
  const EVP_CIPHER* cipher = CipherOf(key);
  const Context context(EVP_CIPHER_CTX_new());
  if (cipher == nullptr || context == nullptr) return false;
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  int length = 0;
  int rest = 0;
  if (EVP_CipherInit_ex(context.get(), cipher, nullptr, key.bytes().data(), nullptr,
                        static_cast<int>(way)) != 1 ||
      EVP_CipherUpdate(context.get(), out->data(), &length, in.data(),
                       static_cast<int>(in.size())) != 1 ||
      length < 0 ||
      EVP_CipherFinal_ex(context.get(), out->data() + static_cast<std::size_t>(length), &rest) !=
          1) {
    return false;
  }
  out->resize(static_cast<std::size_t>(length + rest));
  return true;
}

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Result<KeyMaterial> ReadKey(const std::string& file) {
  struct stat info {};
  if (stat(file.c_str(), &info) == 0 && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return MakeError(Errc::kAccess, file + ": others may read it; set its mode to 0600 or 0400");
  }
  auto text = ReadOwnFile(file);
  if (!text) return text.error();
  const std::size_t size = text->size();
  KeyMaterial key;
  if (size == WrappingKeys::kBytes) key = KeyMaterial(BytesOf(*text));
  SecureWipe(text->data(), size);
  if (key.empty()) {
    return MakeError(Errc::kInvalid, file + ": a wrapping key has exactly 32 bytes, this has " +
                                         std::to_string(size) +
                                         "; make one with: head -c 32 /dev/urandom");
  }
  return key;
}

}  // namespace

Result<std::vector<uint8_t>> AesWrap(const KeyMaterial& key, std::span<const uint8_t> secret) {
  if (secret.empty() || secret.size() > kMaxWrappedBytes) {
    return MakeError(Errc::kInvalid, "a key of this length cannot be wrapped");
  }
  netlink::Buffer out(secret.size() + 3 * kWrapBlock);
  if (!Run(Way::kWrap, key, secret, &out)) {
    return MakeError(Errc::kIo, "OpenSSL cannot wrap a key");
  }
  return std::vector<uint8_t>(out.begin(), out.end());
}

Result<netlink::Buffer> AesUnwrap(const KeyMaterial& key, std::span<const uint8_t> wrapped) {
  const Error refused = MakeError(Errc::kInvalid, "the wrapped key was changed");
  if (wrapped.size() < 2 * kWrapBlock || wrapped.size() % kWrapBlock != 0 ||
      wrapped.size() > kMaxWrappedBytes + 2 * kWrapBlock) {
    return refused;
  }
  netlink::Buffer out(wrapped.size() + kWrapBlock);
  if (!Run(Way::kUnwrap, key, wrapped, &out)) return refused;
  if (out.empty()) return refused;
  return out;
}

Hash256 HashParts(const KeyMaterial& key, std::span<const std::span<const uint8_t>> parts) {
  std::vector<uint8_t> bytes;
  for (const auto& part : parts) {
    std::array<uint8_t, 4> length{};
    StoreBe32(length.data(), static_cast<uint32_t>(part.size()));
    bytes.insert(bytes.end(), length.begin(), length.end());
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  return KeyedHash(key, bytes);
}

WrappingKeys::WrappingKeys(std::vector<KeyMaterial> keys) {
  CYGNET_CHECK(!keys.empty());
  const std::array<std::span<const uint8_t>, 1> purpose{BytesOf("cygnet wrapping key")};
  for (KeyMaterial& key : keys) {
    CYGNET_CHECK(key.size() == kBytes);
    Key row;
    const Hash256 hash = HashParts(key, purpose);
    std::copy_n(hash.begin(), row.id.size(), row.id.begin());
    row.key = std::move(key);
    keys_.push_back(std::move(row));
  }
}

Result<WrappingKeys> WrappingKeys::Load(const std::vector<std::string>& files) {
  if (files.empty()) return MakeError(Errc::kInvalid, "no wrapping key is named");
  std::vector<KeyMaterial> keys;
  for (const std::string& file : files) {
    auto key = ReadKey(file);
    if (!key) return key.error();
    keys.push_back(*std::move(key));
  }
  return WrappingKeys(std::move(keys));
}

const KeyMaterial* WrappingKeys::Find(const WrappingKeyId& id) const {
  for (const Key& row : keys_) {
    if (row.id == id) return &row.key;
  }
  return nullptr;
}

}  // namespace cygnet
