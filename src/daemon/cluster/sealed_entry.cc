#include "daemon/cluster/sealed_entry.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/endian.h"

namespace cygnet {
namespace {

constexpr std::string_view kMark = "CyE1";
constexpr std::size_t kMaxClear = std::size_t{1} << 16;
constexpr std::size_t kCodeBytes = 32;

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void Put64(uint64_t value, std::vector<uint8_t>* out) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<uint8_t>(value >> shift));
}
void Put32(uint32_t value, std::vector<uint8_t>* out) {
  std::array<uint8_t, 4> bytes{};
  StoreBe32(bytes.data(), value);
  out->insert(out->end(), bytes.begin(), bytes.end());
}
void Put(std::span<const uint8_t> bytes, std::vector<uint8_t>* out) {
  out->insert(out->end(), bytes.begin(), bytes.end());
}

// Takes from the front, and remembers if something was missing.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : all_(bytes) {}
  std::span<const uint8_t> Take(std::size_t count) {
    if (count > all_.size() - at_) {
      short_ = true;
      return {};
    }
    at_ += count;
    return all_.subspan(at_ - count, count);
  }
  uint64_t Number(std::size_t count) {
    uint64_t value = 0;
    for (const uint8_t byte : Take(count)) value = value << 8 | byte;
    return value;
  }
  std::size_t at() const { return at_; }
  bool ended_well() const { return !short_ && at_ == all_.size(); }

 private:
  const std::span<const uint8_t> all_;
  std::size_t at_ = 0;
  bool short_ = false;
};

// The key that wraps the keys of one entry.
KeyMaterial KeyOf(const KeyMaterial& key, std::span<const uint8_t> bound,
                  std::span<const uint8_t> head) {
  const std::array<std::span<const uint8_t>, 3> parts{BytesOf("cygnet wrap"), bound, head};
  Hash256 hash = HashParts(key, parts);
  KeyMaterial made(hash);
  SecureWipe(hash.data(), hash.size());
  return made;
}

Hash256 CodeOf(const KeyMaterial& key, std::span<const uint8_t> bound,
               std::span<const uint8_t> covered) {
  const std::array<std::span<const uint8_t>, 3> parts{BytesOf("cygnet entry"), bound, covered};
  return HashParts(key, parts);
}

}  // namespace

Result<SealedEntry> ParseSealed(std::string_view value) {
  const std::span<const uint8_t> bytes = BytesOf(value);
  const Error refused = MakeError(Errc::kInvalid, "it does not have the form of an entry");
  Reader reader(bytes);
  SealedEntry entry;
  const auto mark = reader.Take(kMark.size());
  if (!std::equal(mark.begin(), mark.end(), kMark.begin(), kMark.end())) return refused;
  const uint64_t kind = reader.Number(1);
  const auto key = reader.Take(entry.key.size());
  if (kind < static_cast<uint64_t>(EntryKind::kSa) ||
      kind > static_cast<uint64_t>(EntryKind::kSealed) || key.empty()) {
    return refused;
  }
  entry.kind = static_cast<EntryKind>(kind);
  std::copy(key.begin(), key.end(), entry.key.begin());
  entry.place.epoch = reader.Number(8);
  entry.era = reader.Number(8);
  entry.place.serial = reader.Number(8);
  entry.clear = reader.Take(reader.Number(4));
  entry.head = bytes.first(reader.at());
  entry.wrapped = reader.Take(reader.Number(2));
  entry.covered = bytes.first(reader.at());
  entry.code = reader.Take(kCodeBytes);
  if (!reader.ended_well() || entry.clear.size() > kMaxClear) return refused;
  return entry;
}

std::vector<uint8_t> EntrySeal::Bound(std::string_view name) const {
  std::vector<uint8_t> bound;
  Put32(static_cast<uint32_t>(cluster_.size()), &bound);
  Put(BytesOf(cluster_), &bound);
  Put(BytesOf(name), &bound);
  return bound;
}

Result<std::string> EntrySeal::Seal(std::string_view name, const Entry& entry) const {
  if (entry.clear.size() > kMaxClear) return MakeError(Errc::kInvalid, "an entry is too long");
  const KeyMaterial& key = *keys_.Find(keys_.first());
  const std::vector<uint8_t> bound = Bound(name);
  std::vector<uint8_t> out;
  Put(BytesOf(kMark), &out);
  out.push_back(static_cast<uint8_t>(entry.kind));
  Put(keys_.first(), &out);
  Put64(entry.place.epoch, &out);
  Put64(entry.era, &out);
  Put64(entry.place.serial, &out);
  Put32(static_cast<uint32_t>(entry.clear.size()), &out);
  Put(entry.clear, &out);
  std::vector<uint8_t> wrapped;
  if (!entry.secret.empty()) {
    auto made = AesWrap(KeyOf(key, bound, out), entry.secret);
    if (!made) return made.error();
    wrapped = *std::move(made);
  }
  out.push_back(static_cast<uint8_t>(wrapped.size() >> 8));
  out.push_back(static_cast<uint8_t>(wrapped.size()));
  Put(wrapped, &out);
  Put(CodeOf(key, bound, out), &out);
  return std::string(out.begin(), out.end());
}

Result<Entry> EntrySeal::Open(std::string_view name, std::string_view value) const {
  const auto sealed = ParseSealed(value);
  if (!sealed) return sealed.error();
  const KeyMaterial* key = keys_.Find(sealed->key);
  if (key == nullptr) {
    return MakeError(Errc::kAccess,
                     "it was wrapped under a key that this node does not have; name the same files "
                     "in wrapping_keys on all nodes");
  }
  const std::vector<uint8_t> bound = Bound(name);
  const Hash256 code = CodeOf(*key, bound, sealed->covered);
  if (CRYPTO_memcmp(code.data(), sealed->code.data(), code.size()) != 0) {
    return MakeError(Errc::kInvalid, "somebody else has written or changed it in the store");
  }
  Entry entry{.kind = sealed->kind,
              .place = sealed->place,
              .era = sealed->era,
              .clear = {sealed->clear.begin(), sealed->clear.end()}};
  if (!sealed->wrapped.empty()) {
    auto secret = AesUnwrap(KeyOf(*key, bound, sealed->head), sealed->wrapped);
    if (!secret) return secret.error();
    entry.secret = *std::move(secret);
  }
  return entry;
}

}  // namespace cygnet
