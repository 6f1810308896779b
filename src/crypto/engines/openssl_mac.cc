// OpenSSL 3 deprecates the SHA functions but keeps them; the header says why they are used.
// NOLINTNEXTLINE: read by OpenSSL's headers
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/engines/openssl_mac.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

namespace cygnet::openssl {
namespace {

constexpr std::size_t kAesBlock = 16;
using Block = std::array<uint8_t, kAesBlock>;

struct Sha1 {
  using State = SHA_CTX;
  static constexpr std::size_t kBlock = SHA_CBLOCK;
  static constexpr auto Init = SHA1_Init;
  static constexpr auto Update = SHA1_Update;
  static constexpr auto Final = SHA1_Final;
  static constexpr std::size_t kOutput = SHA_DIGEST_LENGTH;
};
struct Sha256 {
  using State = SHA256_CTX;
  static constexpr std::size_t kBlock = SHA256_CBLOCK;
  static constexpr auto Init = SHA256_Init;
  static constexpr auto Update = SHA256_Update;
  static constexpr auto Final = SHA256_Final;
  static constexpr std::size_t kOutput = SHA256_DIGEST_LENGTH;
};
struct Sha384 {
  using State = SHA512_CTX;
  static constexpr std::size_t kBlock = SHA512_CBLOCK;
  static constexpr auto Init = SHA384_Init;
  static constexpr auto Update = SHA384_Update;
  static constexpr auto Final = SHA384_Final;
  static constexpr std::size_t kOutput = SHA384_DIGEST_LENGTH;
};
struct Sha512 {
  using State = SHA512_CTX;
  static constexpr std::size_t kBlock = SHA512_CBLOCK;
  static constexpr auto Init = SHA512_Init;
  static constexpr auto Update = SHA512_Update;
  static constexpr auto Final = SHA512_Final;
  static constexpr std::size_t kOutput = SHA512_DIGEST_LENGTH;
};

// The hash state after one block of the key XORed with `pad`.
template <typename Hash>
KeyMaterial StateAfterKey(std::span<const uint8_t> key, uint8_t pad) {
  std::array<uint8_t, Hash::kBlock> block{};
  typename Hash::State state;
  if (key.size() <= block.size()) {
    std::copy(key.begin(), key.end(), block.begin());
  } else {  // RFC 2104 section 2: longer keys are hashed first
    Hash::Init(&state);
    Hash::Update(&state, key.data(), key.size());
    Hash::Final(block.data(), &state);
  }
  for (uint8_t& b : block) b = static_cast<uint8_t>(b ^ pad);
  Hash::Init(&state);
  Hash::Update(&state, block.data(), block.size());
  KeyMaterial out({reinterpret_cast<const uint8_t*>(&state), sizeof(state)});
  SecureWipe(block.data(), block.size());
  SecureWipe(&state, sizeof(state));
  return out;
}

// Wipes key data from a worker's stack, however the function ends.
template <typename T>
class WipeAtEnd {
 public:
  explicit WipeAtEnd(T* secret) : secret_(secret) {}
  ~WipeAtEnd() { SecureWipe(secret_, sizeof(T)); }
  WipeAtEnd(const WipeAtEnd&) = delete;
  WipeAtEnd& operator=(const WipeAtEnd&) = delete;

 private:
  T* const secret_;
};

template <typename Hash>
bool ComputeHmac(const KeyMaterial& inner, const KeyMaterial& outer,
                 std::span<const uint8_t> message, std::span<const uint8_t> tail, MacOutput* out) {
  typename Hash::State state;  // worth a key: it suffices to forge ICVs
  const WipeAtEnd wipe(&state);
  std::memcpy(&state, inner.bytes().data(), sizeof(state));
  if (Hash::Update(&state, message.data(), message.size()) != 1 ||
      Hash::Update(&state, tail.data(), tail.size()) != 1 ||
      Hash::Final(out->data(), &state) != 1) {
    return false;
  }
  std::memcpy(&state, outer.bytes().data(), sizeof(state));
  return Hash::Update(&state, out->data(), Hash::kOutput) == 1 &&
         Hash::Final(out->data(), &state) == 1;
}

// Calls `fn` with the hash that belongs to an HMAC's id.
template <typename Fn>
auto WithHash(AlgorithmId id, Fn fn) {
  switch (id) {
    case AlgorithmId::kHmacSha256:
      return fn(Sha256{});
    case AlgorithmId::kHmacSha384:
      return fn(Sha384{});
    case AlgorithmId::kHmacSha512:
      return fn(Sha512{});
    default:
      return fn(Sha1{});
  }
}

// nullptr if not an HMAC.
const char* DigestName(AlgorithmId id) {
  switch (id) {
    case AlgorithmId::kHmacSha1:
      return "SHA1";
    case AlgorithmId::kHmacSha256:
      return "SHA256";
    case AlgorithmId::kHmacSha384:
      return "SHA384";
    case AlgorithmId::kHmacSha512:
      return "SHA512";
    default:
      return nullptr;
  }
}

// One AES block under `key`.
bool EncryptBlock(std::span<const uint8_t> key, const Block& in, Block* out) {
  const CipherCtx ctx(EVP_CIPHER_CTX_new());
  int n = 0;
  return ctx != nullptr &&
         EVP_EncryptInit_ex(ctx.get(), EVP_aes_128_ecb(), nullptr, key.data(), nullptr) == 1 &&
         EVP_EncryptUpdate(ctx.get(), out->data(), &n, in.data(), kAesBlock) == 1 &&
         n == static_cast<int>(kAesBlock);
}

// Multiplication by x in GF(2^128), RFC 4493 section 2.3. It uses a mask instead of a branch on the
// key.
Block Doubled(const Block& in) {
  Block out;
  for (std::size_t i = 0; i < kAesBlock; ++i) {
    const auto next = static_cast<uint8_t>(i + 1 < kAesBlock ? in[i + 1] >> 7 : 0);
    out[i] = static_cast<uint8_t>(in[i] << 1 | next);
  }
  const auto carry = static_cast<unsigned>(in[0] >> 7);
  out[15] = static_cast<uint8_t>(out[15] ^ (0x87u & (0u - carry)));
  return out;
}

struct CbcMacKeys {
  Block chaining;
  std::array<uint8_t, 2 * kAesBlock> subkeys;
  ~CbcMacKeys() { SecureWipe(this, sizeof(*this)); }
};

// RFC 3566 section 4: K1, K2, K3 are the encryptions of 0x01…, 0x02…, 0x03… under the key.
bool DeriveXcbc(std::span<const uint8_t> key, CbcMacKeys* keys) {
  std::array<Block, 3> derived;
  bool done = true;
  for (uint8_t i = 0; i < 3; ++i) {
    Block constant;
    constant.fill(static_cast<uint8_t>(i + 1));
    done = done && EncryptBlock(key, constant, &derived[i]);
  }
  keys->chaining = derived[0];
  std::copy(derived[1].begin(), derived[1].end(), keys->subkeys.begin());
  std::copy(derived[2].begin(), derived[2].end(), keys->subkeys.begin() + kAesBlock);
  SecureWipe(derived.data(), sizeof(derived));
  return done;
}

// RFC 4493 section 2.3: the key itself is the chaining key; K1 and K2 are its encryption of zero,
// doubled.
bool DeriveCmac(std::span<const uint8_t> key, CbcMacKeys* keys) {
  Block l;
  const bool done = EncryptBlock(key, Block{}, &l);
  std::copy(key.begin(), key.end(), keys->chaining.begin());
  Block k1 = Doubled(l);
  Block k2 = Doubled(k1);
  std::copy(k1.begin(), k1.end(), keys->subkeys.begin());
  std::copy(k2.begin(), k2.end(), keys->subkeys.begin() + kAesBlock);
  SecureWipe(l.data(), l.size());
  SecureWipe(k1.data(), k1.size());
  SecureWipe(k2.data(), k2.size());
  return done;
}

// Two byte ranges read as one.
class Joined {
 public:
  Joined(std::span<const uint8_t> a, std::span<const uint8_t> b) : a_(a), b_(b) {}
  std::size_t size() const { return a_.size() + b_.size(); }
  // REQUIRES: from + n <= size().
  void Copy(std::size_t from, std::size_t n, uint8_t* out) const {
    const std::size_t in_a = from < a_.size() ? std::min(n, a_.size() - from) : 0;
    if (in_a != 0) std::memcpy(out, a_.data() + from, in_a);
    if (n > in_a) std::memcpy(out + in_a, b_.data() + (from + in_a - a_.size()), n - in_a);
  }

 private:
  std::span<const uint8_t> a_;
  std::span<const uint8_t> b_;
};

// Chains whole blocks. Only the state inside the context matters; the ciphertext is discarded.
bool Chain(EVP_CIPHER_CTX* ctx, std::span<const uint8_t> blocks) {
  std::array<uint8_t, 512> discarded;
  int n = 0;
  for (std::size_t at = 0; at < blocks.size(); at += discarded.size()) {
    const std::size_t part = std::min(discarded.size(), blocks.size() - at);
    if (EVP_EncryptUpdate(ctx, discarded.data(), &n, blocks.data() + at, static_cast<int>(part)) !=
        1) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::optional<Hmac> Hmac::Create(const Library& library, const AlgorithmDescriptor& algorithm,
                                 std::span<const uint8_t> key, uint32_t queues) {
  (void)library;
  (void)queues;
  Hmac mac;
  mac.id_ = algorithm.id;
  WithHash(algorithm.id, [&]<typename Hash>(Hash) {
    mac.inner_ = StateAfterKey<Hash>(key, 0x36);
    mac.outer_ = StateAfterKey<Hash>(key, 0x5c);
  });
  return mac;
}

bool Hmac::Compute(uint32_t queue, std::span<const uint8_t> message, std::span<const uint8_t> tail,
                   MacOutput* out) const {
  (void)queue;
  return WithHash(id_, [&]<typename Hash>(Hash) {
    return ComputeHmac<Hash>(inner_, outer_, message, tail, out);
  });
}

std::optional<AesCbcMac> AesCbcMac::Create(const Library& library,
                                           const AlgorithmDescriptor& algorithm,
                                           std::span<const uint8_t> key, uint32_t queues) {
  if (key.size() != kAesBlock) return std::nullopt;
  CbcMacKeys keys;
  const bool derived =
      algorithm.id == AlgorithmId::kAesXcbc ? DeriveXcbc(key, &keys) : DeriveCmac(key, &keys);
  if (!derived) return std::nullopt;
  const CipherPtr cipher = library.Cipher("AES-128-CBC");
  if (cipher == nullptr) return std::nullopt;
  AesCbcMac mac;
  mac.subkeys_ = KeyMaterial(keys.subkeys);
  for (uint32_t i = 0; i < queues; ++i) {
    CipherCtx ctx(EVP_CIPHER_CTX_new());
    if (ctx == nullptr || EVP_EncryptInit_ex(ctx.get(), cipher.get(), nullptr, keys.chaining.data(),
                                             Block{}.data()) != 1) {
      return std::nullopt;
    }
    EVP_CIPHER_CTX_set_padding(ctx.get(), 0);
    mac.contexts_.push_back(std::move(ctx));
  }
  return mac;
}

bool AesCbcMac::Compute(uint32_t queue, std::span<const uint8_t> message,
                        std::span<const uint8_t> tail, MacOutput* out) const {
  EVP_CIPHER_CTX* ctx = contexts_[queue].get();
  const Joined all(message, tail);
  const std::size_t last = all.size() == 0 ? 0 : (all.size() - 1) / kAesBlock * kAesBlock;
  const std::size_t whole = std::min(last, message.size() / kAesBlock * kAesBlock);
  const Block zero{};
  Block block{};  // with a known message, the last block would reveal the subkey
  const WipeAtEnd wipe(&block);
  if (EVP_EncryptInit_ex(ctx, nullptr, nullptr, nullptr, zero.data()) != 1 ||
      !Chain(ctx, message.first(whole))) {
    return false;
  }
  if (whole < last) {  // the block that holds the end of the message and the start of the tail
    all.Copy(whole, kAesBlock, block.data());
    if (!Chain(ctx, block)) return false;
  }
  const std::size_t rest = all.size() - last;
  block.fill(0);
  all.Copy(last, rest, block.data());
  if (rest < kAesBlock) block[rest] = 0x80;
  const uint8_t* subkey = subkeys_.bytes().data() + (rest == kAesBlock ? 0 : kAesBlock);
  for (std::size_t i = 0; i < kAesBlock; ++i) block[i] = static_cast<uint8_t>(block[i] ^ subkey[i]);
  int n = 0;
  return EVP_EncryptUpdate(ctx, out->data(), &n, block.data(), kAesBlock) == 1 &&
         n == static_cast<int>(kAesBlock);
}

std::optional<ProviderMac> ProviderMac::Create(const Library& library,
                                               const AlgorithmDescriptor& algorithm,
                                               std::span<const uint8_t> key, uint32_t queues) {
  const bool cmac = algorithm.id == AlgorithmId::kAesCmac;
  const char* inner = cmac ? "AES-128-CBC" : DigestName(algorithm.id);
  const MacPtr mac = library.Mac(cmac ? "CMAC" : "HMAC");
  if (mac == nullptr || inner == nullptr) return std::nullopt;
  // The parameters are only read.
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(cmac ? OSSL_MAC_PARAM_CIPHER : OSSL_MAC_PARAM_DIGEST,
                                       const_cast<char*>(inner), 0),
      library.properties() == nullptr
          ? OSSL_PARAM_construct_end()
          : OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_PROPERTIES,
                                             const_cast<char*>(library.properties()), 0),
      OSSL_PARAM_construct_end()};
  ProviderMac out;
  for (uint32_t i = 0; i < queues; ++i) {
    MacCtx ctx(EVP_MAC_CTX_new(mac.get()));
    if (ctx == nullptr || EVP_MAC_init(ctx.get(), key.data(), key.size(), params) != 1) {
      return std::nullopt;
    }
    out.contexts_.push_back(std::move(ctx));
  }
  return out;
}

bool ProviderMac::Compute(uint32_t queue, std::span<const uint8_t> message,
                          std::span<const uint8_t> tail, MacOutput* out) const {
  EVP_MAC_CTX* ctx = contexts_[queue].get();
  std::size_t n = 0;
  return EVP_MAC_init(ctx, nullptr, 0, nullptr) == 1 &&
         EVP_MAC_update(ctx, message.data(), message.size()) == 1 &&
         EVP_MAC_update(ctx, tail.data(), tail.size()) == 1 &&
         EVP_MAC_final(ctx, out->data(), &n, out->size()) == 1;
}

}  // namespace cygnet::openssl
