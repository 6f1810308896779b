#include "daemon/cluster/shared_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/random.h"
#include "daemon/store/restart_interfaces.h"
#include "xfrm/policy_message.h"
#include "xfrm/request.h"
#include "xfrm/sa_message.h"

namespace cygnet {
namespace {

constexpr uint8_t kVersion = 1;
constexpr std::size_t kUsageBytes = 40;
constexpr std::size_t kSaHead = 3 + kUsageBytes;

void Put(uint64_t value, std::size_t bytes, std::vector<uint8_t>* out) {
  for (std::size_t i = bytes; i-- > 0;) out->push_back(static_cast<uint8_t>(value >> (8 * i)));
}
uint64_t Get(std::span<const uint8_t> bytes) {
  uint64_t value = 0;
  for (const uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

void PutUsage(const SharedUsage& usage, std::vector<uint8_t>* out) {
  for (const uint64_t value : {usage.usage.bytes, usage.usage.packets, usage.usage.add_time,
                               usage.usage.use_time, usage.last_used}) {
    Put(value, 8, out);
  }
}
// REQUIRES: kUsageBytes.
SharedUsage GetUsage(std::span<const uint8_t> bytes) {
  const auto at = [&](std::size_t i) { return Get(bytes.subspan(8 * i, 8)); };
  return {.usage = {.bytes = at(0), .packets = at(1), .add_time = at(2), .use_time = at(3)},
          .last_used = at(4)};
}

std::vector<SaAlgorithm*> AlgorithmsOf(SaSpec* spec) {
  if (spec->pair.empty()) return {&spec->aead};
  SaPair::Both* pair = spec->pair.Change();
  return {&spec->aead, &pair->cipher, &pair->auth};
}

// Takes the key out and leaves zeros.
void MoveKey(SaAlgorithm* algorithm, netlink::Buffer* keys) {
  const auto bytes = algorithm->key.bytes();
  keys->insert(keys->end(), bytes.begin(), bytes.end());
  algorithm->key = KeyMaterial(std::vector<uint8_t>(bytes.size()));
}

// Puts the next part of `keys` where zeros are. False: there are too few.
bool PlaceKey(std::span<const uint8_t>* keys, SaAlgorithm* algorithm) {
  const std::size_t size = algorithm->key.size();
  if (size > keys->size()) return false;
  if (size != 0) algorithm->key = KeyMaterial(keys->first(size));
  *keys = keys->subspan(size);
  return true;
}

Error Unreadable(const std::string& why) {
  return MakeError(Errc::kInvalid, "this version of cygnetd cannot read it: " + why);
}

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string NameOf(std::string_view purpose, const std::vector<uint8_t>& what,
                   const KeyMaterial& secret) {
  constexpr std::size_t kBytes = 16;
  const std::array<std::span<const uint8_t>, 2> parts{BytesOf(purpose), what};
  const Hash256 hash = HashParts(secret, parts);
  return fmt::format("{:02x}", fmt::join(std::span(hash).first(kBytes), ""));
}

}  // namespace

bool CanBeShared(const Selector& selector) { return selector.ifindex == 0; }

bool CanBeShared(const PolicySpec& policy) {
  return CanBeShared(policy.selector) && !IsStandIn(policy);
}

SharedRecord RecordOf(const Sa& sa, const SharedUsage& usage) {
  SaSpec spec = sa.spec().Clone();
  netlink::Buffer keys;
  for (SaAlgorithm* algorithm : AlgorithmsOf(&spec)) MoveKey(algorithm, &keys);
  const SaView view{.spec = &spec,
                    .state = sa.state(),
                    .usage = usage.usage,
                    .stats = {},
                    .replay = sa.ExportReplay(),
                    .offload = std::nullopt,
                    .last_used = usage.last_used};
  const netlink::Buffer message = xfrm::EncodeSa(view, {}, xfrm::DumpPart::kNo);
  SharedRecord record{.kind = EntryKind::kSa,
                      .clear = {kVersion, static_cast<uint8_t>(sa.state()),
                                static_cast<uint8_t>(sa.lifetime().soft_time_signalled() ? 1 : 0)},
                      .secret = std::move(keys)};
  PutUsage(usage, &record.clear);
  record.clear.insert(record.clear.end(), message.begin(), message.end());
  return record;
}

SharedRecord RecordOf(const SharedUsage& usage) {
  SharedRecord record{.kind = EntryKind::kUsage, .clear = {kVersion}};
  PutUsage(usage, &record.clear);
  return record;
}

SharedRecord RecordOf(PolicySpec spec) {
  spec.offload = std::nullopt;
  const netlink::Buffer message = xfrm::EncodePolicy(spec, {}, {}, xfrm::DumpPart::kNo);
  SharedRecord record{.kind = EntryKind::kPolicy, .clear = {kVersion}};
  record.clear.insert(record.clear.end(), message.begin(), message.end());
  return record;
}

Result<RestoredSa> SaOf(std::span<const uint8_t> clear, std::span<const uint8_t> secret) {
  if (clear.size() < kSaHead || clear[0] != kVersion) return Unreadable("another version wrote it");
  const auto state = static_cast<SaState>(clear[1]);
  if (state != SaState::kValid && state != SaState::kDying) return Unreadable("its state");
  const SharedUsage usage = GetUsage(clear.subspan(3, kUsageBytes));
  const auto request = xfrm::ParseStored(clear.subspan(kSaHead), xfrm::RequestType::kNewSa);
  if (!request) return Unreadable(request.error().message);
  auto spec = xfrm::DecodeSa(*request);
  if (!spec) return Unreadable(spec.error().message);
  std::span<const uint8_t> keys = secret;
  for (SaAlgorithm* algorithm : AlgorithmsOf(&*spec)) {
    if (!PlaceKey(&keys, algorithm)) return Unreadable("keys are missing");
  }
  if (!keys.empty()) return Unreadable("it has more keys than algorithms");
  spec->offload = std::nullopt;
  spec->rare.Change()->initial_usage = usage.usage;
  RestoredSa sa{.spec = *std::move(spec),
                .iv_mask = RandomWord(),
                .accepted_to = 0,
                .last_used = usage.last_used,
                .state = state,
                .soft_time_signalled = clear[2] != 0};
  // Packets that came since are not in this window. The number store knows the mark.
  sa.accepted_to = sa.spec.replay.seq;
  return sa;
}

Result<SharedUsage> UsageOf(std::span<const uint8_t> clear) {
  if (clear.size() != 1 + kUsageBytes || clear[0] != kVersion) {
    return Unreadable("another version wrote it");
  }
  return GetUsage(clear.subspan(1));
}

Result<PolicySpec> PolicyOf(std::span<const uint8_t> clear) {
  if (clear.empty() || clear[0] != kVersion) return Unreadable("another version wrote it");
  const auto request = xfrm::ParseStored(clear.subspan(1), xfrm::RequestType::kNewPolicy);
  if (!request) return Unreadable(request.error().message);
  auto spec = xfrm::DecodePolicy(*request);
  if (!spec) return Unreadable(spec.error().message);
  spec->offload = std::nullopt;
  return spec;
}

std::string SharedName(const SaId& id, const KeyMaterial& secret) {
  std::vector<uint8_t> what(id.daddr.bytes.begin(), id.daddr.bytes.end());
  Put(id.spi.value, 4, &what);
  Put(id.proto, 1, &what);
  Put(static_cast<uint16_t>(id.family), 2, &what);
  return NameOf("cygnet sa name", what, secret);
}

std::string SharedName(const PolicyId& id, const KeyMaterial& secret) {
  const Selector& s = id.selector;
  std::vector<uint8_t> what(s.saddr.bytes.begin(), s.saddr.bytes.end());
  what.insert(what.end(), s.daddr.bytes.begin(), s.daddr.bytes.end());
  for (const uint16_t value :
       {s.sport, s.sport_mask, s.dport, s.dport_mask, static_cast<uint16_t>(s.family)}) {
    Put(value, 2, &what);
  }
  for (const uint8_t value : {s.prefixlen_s, s.prefixlen_d, s.proto,
                              static_cast<uint8_t>(id.direction), static_cast<uint8_t>(id.type)}) {
    Put(value, 1, &what);
  }
  for (const uint32_t value : {s.user, id.mark_value, id.mark_mask, id.if_id}) {
    Put(value, 4, &what);
  }
  return NameOf("cygnet policy name", what, secret);
}

}  // namespace cygnet
