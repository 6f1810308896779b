#include "control/numbers/number_identity.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "base/endian.h"
#include "control/numbers/keyed_hash.h"

namespace cygnet {
namespace {

// What is hashed. Each part has its length in front, so that no two lists of parts look alike. On
// the stack, and wiped: it has keys.
class Parts {
 public:
  explicit Parts(std::string_view purpose) {
    Add({reinterpret_cast<const uint8_t*>(purpose.data()), purpose.size()});
  }
  ~Parts() { SecureWipe(bytes_.data(), size_); }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  void Add(std::span<const uint8_t> part) {
    CYGNET_CHECK(part.size() + 2 <= bytes_.size() - size_);
    StoreBe16(bytes_.data() + size_, static_cast<uint16_t>(part.size()));
    if (!part.empty()) std::memcpy(bytes_.data() + size_ + 2, part.data(), part.size());
    size_ += part.size() + 2;
  }
  std::array<uint8_t, 32> HashBy(KeyedHasher* hasher) const {
    return hasher->Hash(std::span(bytes_).first(size_));
  }

 private:
  std::array<uint8_t, 3 * KeyMaterial::kMaxBytes> bytes_;
  std::size_t size_ = 0;
};

// The key that numbers make nonces for. Without encryption it is the key of the ICV.
std::span<const uint8_t> NonceKey(const SaSpec& spec) {
  const std::span<const uint8_t> key = spec.encryption().key.bytes();
  return key.empty() ? spec.integrity().key.bytes() : key;
}

// One that has the secret. To give it one takes longer than the hashes of an SA, and a restart has
// many SAs of one secret: it stays until another secret comes.
KeyedHasher* HasherOf(const KeyMaterial& secret) {
  struct Keyed {
    explicit Keyed(const KeyMaterial& key) : secret(key.Clone()), hasher(key) {}
    const KeyMaterial secret;
    KeyedHasher hasher;
  };
  static thread_local std::unique_ptr<Keyed> last;
  if (last == nullptr || !(last->secret == secret)) last = std::make_unique<Keyed>(secret);
  return &last->hasher;
}

NumberId First16(const std::array<uint8_t, 32>& hash) {
  NumberId id;
  std::copy_n(hash.begin(), id.size(), id.begin());
  return id;
}

}  // namespace

NumberIdentity IdentityOf(const SaSpec& spec, const KeyMaterial& secret) {
  CYGNET_CHECK(secret.size() == kNumberSecretBytes);
  Parts out("cygnet out");
  out.Add(NonceKey(spec));
  Parts mask("cygnet iv");
  mask.Add(NonceKey(spec));
  Parts in("cygnet in");
  std::array<uint8_t, 6> place{spec.proto, static_cast<uint8_t>(spec.family)};
  StoreBe32(place.data() + 2, spec.spi.value);
  in.Add(place);
  in.Add(spec.daddr.bytes);
  in.Add(spec.encryption().key.bytes());
  in.Add(spec.pair->auth.key.bytes());
  KeyedHasher* const hasher = HasherOf(secret);
  const std::array<uint8_t, 32> bytes = mask.HashBy(hasher);
  uint64_t iv_mask = 0;
  for (std::size_t i = 0; i < sizeof(iv_mask); ++i) iv_mask = iv_mask << 8 | bytes[i];
  return {.outbound = First16(out.HashBy(hasher)),
          .inbound = First16(in.HashBy(hasher)),
          .iv_mask = iv_mask,
          .group = 0};
}

}  // namespace cygnet
