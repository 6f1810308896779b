#include "daemon/cluster/heartbeat.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/endian.h"
#include "control/numbers/keyed_hash.h"

namespace cygnet {
namespace {

constexpr std::string_view kMagic = "CYGH";
constexpr uint8_t kVersion = 1;
constexpr std::size_t kMacBytes = 16;

class Writer {
 public:
  void Bytes(std::string_view bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void U8(std::size_t value) {
    CYGNET_CHECK(value <= 255);
    out_.push_back(static_cast<uint8_t>(value));
  }
  void U32(uint32_t value) {
    out_.resize(out_.size() + 4);
    StoreBe32(out_.data() + out_.size() - 4, value);
  }
  void U64(uint64_t value) {
    out_.resize(out_.size() + 8);
    StoreBe64(out_.data() + out_.size() - 8, value);
  }
  void Name(std::string_view name) {
    CYGNET_CHECK(!name.empty() && name.size() <= kMaxClusterName);
    U8(name.size());
    Bytes(name);
  }
  void Groups(const std::vector<Heartbeat::Group>& groups) {
    U8(groups.size());
    for (const Heartbeat::Group& group : groups) {
      Name(group.name);
      U64(group.epoch);
    }
  }
  std::vector<uint8_t> Finish(const KeyMaterial& key) && {
    const std::array<uint8_t, 32> mac = KeyedHash(key, out_);
    out_.insert(out_.end(), mac.begin(), mac.begin() + kMacBytes);
    CYGNET_CHECK(out_.size() <= kMaxHeartbeat);
    return std::move(out_);
  }

 private:
  std::vector<uint8_t> out_;
};

// Each read checks that the bytes are there; after a failure everything reads as zero.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  std::string_view Bytes(std::size_t count) {
    if (!ok_ || count > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view bytes(reinterpret_cast<const char*>(rest_.data()), count);
    rest_ = rest_.subspan(count);
    return bytes;
  }
  uint64_t Number(std::size_t bytes) {
    uint64_t value = 0;
    for (const char byte : Bytes(bytes)) value = value << 8 | static_cast<uint8_t>(byte);
    return value;
  }
  std::string Name() {
    const std::size_t length = Number(1);
    ok_ = ok_ && length != 0 && length <= kMaxClusterName;
    return std::string(Bytes(length));
  }
  std::vector<Heartbeat::Group> Groups() {
    std::vector<Heartbeat::Group> groups;
    for (uint64_t left = Number(1); left != 0 && ok_; --left) {
      Heartbeat::Group group;
      group.name = Name();
      group.epoch = Number(8);
      groups.push_back(std::move(group));
    }
    return groups;
  }

 private:
  std::span<const uint8_t> rest_;
  bool ok_ = true;
};

}  // namespace

KeyMaterial HeartbeatKey(const KeyMaterial& secret) {
  constexpr std::string_view kPurpose = "heartbeat";
  std::array<uint8_t, 32> key =
      KeyedHash(secret, {reinterpret_cast<const uint8_t*>(kPurpose.data()), kPurpose.size()});
  KeyMaterial derived(key);
  SecureWipe(key.data(), key.size());
  return derived;
}

std::vector<uint8_t> EncodeHeartbeat(const Heartbeat& heartbeat, const KeyMaterial& key) {
  CYGNET_CHECK(heartbeat.groups.size() <= 100 && heartbeat.heard.size() <= 30);
  CYGNET_CHECK(heartbeat.offers.size() <= kMaxOffers && heartbeat.held.size() <= kMaxOffers);
  Writer out;
  out.Bytes(kMagic);
  out.U32(uint32_t{kVersion} << 24);
  out.U64(heartbeat.incarnation);
  out.U64(heartbeat.sequence);
  out.U64(heartbeat.boot_ns);
  out.U32(heartbeat.paused_ms);
  out.U32(heartbeat.store_silent_ms);
  out.Name(heartbeat.cluster);
  out.Name(heartbeat.node);
  out.Groups(heartbeat.groups);
  out.U8(heartbeat.heard.size());
  for (const std::string& node : heartbeat.heard) out.Name(node);
  out.U8(heartbeat.offers.size());
  for (const Heartbeat::Offer& offer : heartbeat.offers) {
    out.Name(offer.group);
    out.Name(offer.node);
  }
  out.Groups(heartbeat.held);
  return std::move(out).Finish(key);
}

std::optional<Heartbeat> DecodeHeartbeat(std::span<const uint8_t> datagram,
                                         const KeyMaterial& key) {
  if (datagram.size() < kMacBytes || datagram.size() > kMaxHeartbeat) return std::nullopt;
  const std::span<const uint8_t> bytes = datagram.first(datagram.size() - kMacBytes);
  const std::array<uint8_t, 32> mac = KeyedHash(key, bytes);
  if (CRYPTO_memcmp(mac.data(), datagram.data() + bytes.size(), kMacBytes) != 0) {
    return std::nullopt;
  }
  return ParseHeartbeat(bytes);
}

std::optional<Heartbeat> ParseHeartbeat(std::span<const uint8_t> bytes) {
  Reader in(bytes);
  if (in.Bytes(kMagic.size()) != kMagic || in.Number(4) >> 24 != kVersion) return std::nullopt;
  Heartbeat heartbeat;
  heartbeat.incarnation = in.Number(8);
  heartbeat.sequence = in.Number(8);
  heartbeat.boot_ns = in.Number(8);
  heartbeat.paused_ms = static_cast<uint32_t>(in.Number(4));
  heartbeat.store_silent_ms = static_cast<uint32_t>(in.Number(4));
  heartbeat.cluster = in.Name();
  heartbeat.node = in.Name();
  heartbeat.groups = in.Groups();
  for (uint64_t left = in.Number(1); left != 0 && in.ok(); --left) {
    heartbeat.heard.push_back(in.Name());
  }
  // Earlier versions end here.
  if (!in.at_end()) {
    for (uint64_t left = in.Number(1); left != 0 && in.ok(); --left) {
      Heartbeat::Offer offer;
      offer.group = in.Name();
      offer.node = in.Name();
      heartbeat.offers.push_back(std::move(offer));
    }
    heartbeat.held = in.Groups();
  }
  if (!in.ok() || heartbeat.incarnation == 0 || heartbeat.sequence == 0) return std::nullopt;
  return heartbeat;
}

}  // namespace cygnet
