// Checks of drivers: capabilities, SAs, handles, keys.
#include <set>

#include "conformance/driver_checks.h"

namespace cygnet::conformance {
namespace {

constexpr uint32_t kMostSas = 5000;  // that a check installs

std::string Number(uint64_t n) { return std::to_string(n); }

Outcome Capabilities(DriverBench* b) {
  const cygnet_caps& caps = b->device().plugin_caps();
  const OffloadCaps before = b->device().caps();
  CONFORMANCE_REQUIRE(b->plugin().driver.caps != nullptr, "no caps");
  if ((caps.can & (CYGNET_CAN_CRYPTO_OFFLOAD | CYGNET_CAN_PACKET_OFFLOAD)) == 0) return Kept();
  CONFORMANCE_REQUIRE(!b->choices().empty(),
                      "it offloads, and names no algorithm of Linux's names");
  CONFORMANCE_REQUIRE(caps.modes != 0 && caps.families != 0,
                      "it offloads, and names no mode or no family");
  CONFORMANCE_REQUIRE(before.inbound || before.outbound, "it offloads, and names no direction");
  for (const Choice& choice : b->choices()) {
    const bool key = choice.encryption->AcceptsKeyMaterial(std::size_t{choice.key_bytes} +
                                                           choice.encryption->salt_bytes);
    CONFORMANCE_REQUIRE(key, choice.Text() + ": the algorithm does not have this key length");
    const AlgorithmDescriptor& icv = choice.auth != nullptr ? *choice.auth : *choice.encryption;
    CONFORMANCE_REQUIRE(icv.AcceptsIcv(choice.icv_bytes),
                        choice.Text() + ": the algorithm does not have this ICV length");
  }
  return Kept();
}

Outcome EveryChoiceInstalls(DriverBench* b) {
  for (const Choice& choice : b->choices()) {
    for (const Half half : kHalves) {
      const EspSample sample = b->Sample(choice, {});
      const auto handle = b->Start(sample.spec(), half);
      CONFORMANCE_REQUIRE(handle.has_value(), choice.Text() + ", " + std::string(Name(half)) +
                                                  ": refused: " + b->refusal.text);
      b->device().StopSa(*handle);
      b->device().ReleaseSa(*handle);
      CONFORMANCE_REQUIRE(b->Erased(1).size() == 1, "a released SA is not erased");
    }
  }
  return Kept();
}

Outcome HandlesAreDistinct(DriverBench* b) {
  std::set<uint32_t> handles;
  const EspSample sample = b->Sample();
  for (int i = 0; i < 64; ++i) {
    const auto handle = b->Install(sample.spec(), i % 2 == 0 ? Half::kOutbound : Half::kInbound);
    if (!handle.has_value()) break;
    CONFORMANCE_REQUIRE(handles.insert(handle->value).second,
                        "handle " + Number(handle->value) + " names two SAs");
  }
  return handles.empty() ? Broken("it installs nothing: " + b->refusal.text) : Kept();
}

Outcome HandlesAreNotReused(DriverBench* b) {
  const EspSample sample = b->Sample();
  std::optional<OffloadHandle> before;
  for (int i = 0; i < 8; ++i) {
    const auto handle = b->Start(sample.spec(), Half::kOutbound);
    CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
    CONFORMANCE_REQUIRE(!before.has_value() || *before != *handle,
                        "the next SA has handle " + Number(handle->value) + " again");
    b->device().StopSa(*handle);
    b->device().ReleaseSa(*handle);
    (void)b->Erased(1);
    before = handle;
  }
  return Kept();
}

Outcome SlotsAreAsClaimed(DriverBench* b) {
  const cygnet_caps& caps = b->device().plugin_caps();
  if (caps.outbound_slots == 0) return NotApplicable("it names no number of slots");
  if (caps.outbound_slots > kMostSas) return NotApplicable("it has too many slots to fill");
  const EspSample sample = b->Sample();
  uint32_t taken = 0;
  while (taken <= caps.outbound_slots && b->Install(sample.spec(), Half::kOutbound)) ++taken;
  CONFORMANCE_REQUIRE(
      taken == caps.outbound_slots,
      "it claims " + Number(caps.outbound_slots) + " slots, and took " + Number(taken) + " SAs");
  CONFORMANCE_REQUIRE(
      b->refusal.kind == InstallError::kTableFull,
      "a full table is not refused as CYGNET_REFUSED_TABLE_FULL: " + b->refusal.text);
  return Kept();
}

Outcome RefusalsHoldNothing(DriverBench* b) {
  const cygnet_caps& caps = b->device().plugin_caps();
  if (caps.outbound_slots == 0 || caps.outbound_slots > kMostSas) {
    return NotApplicable("its table cannot be filled");
  }
  const EspSample sample = b->Sample();
  std::vector<OffloadHandle> handles;
  while (auto handle = b->Install(sample.spec(), Half::kOutbound)) handles.push_back(*handle);
  const uint32_t used = b->device().offload_stats().outbound_used;
  OffloadHandle kept;
  const uint64_t refusals = b->device().offload_stats().refusals;
  CONFORMANCE_REQUIRE(b->device().InstallSa({sample.spec(), Half::kOutbound, 0}, &kept).has_value(),
                      "a full table took an SA");
  const OffloadStats after = b->device().offload_stats();
  CONFORMANCE_REQUIRE(after.outbound_used == used, "a refused SA holds a slot");
  CONFORMANCE_REQUIRE(after.refusals == refusals + 1, "the refusal is not counted");
  b->device().StopSa(handles.back());
  b->device().ReleaseSa(handles.back());
  (void)b->Erased(1);
  CONFORMANCE_REQUIRE(b->Install(sample.spec(), Half::kOutbound).has_value(),
                      "a released slot cannot be used again: " + b->refusal.text);
  return Kept();
}

Outcome KeysAreCopied(DriverBench* b) {
  const EspSample sample = b->Sample();
  SaSpec spec = sample.spec().Clone();
  // The key stands in memory that is overwritten right after the call.
  OffloadHandle handle;
  const auto refused = b->device().InstallSa({spec, Half::kOutbound, 0}, &handle);
  CONFORMANCE_REQUIRE(!refused.has_value(), "refused: " + refused->text);
  spec.aead.key.Wipe();
  spec.pair.Change()->cipher.key.Wipe();
  spec.pair.Change()->auth.key.Wipe();
  std::vector<KeyMaterial> over;  // takes the same memory
  for (int i = 0; i < 64; ++i) over.emplace_back(std::vector<uint8_t>(36, 0xee));
  b->device().StartSa(handle);
  const auto sent = b->Send({DriverBench::ToSeal(sample, handle, 1, 64)}, 1);
  CONFORMANCE_REQUIRE(sent.size() == 1 && sent[0] == sample.Sealed(1, 64),
                      "a packet is sealed wrongly once the key of install_sa is overwritten");
  return Kept();
}

Outcome UsedSlotsAreCounted(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto out = b->Install(sample.spec(), Half::kOutbound);
  const auto in = b->Install(sample.spec(), Half::kInbound);
  CONFORMANCE_REQUIRE(out.has_value() && in.has_value(), "refused: " + b->refusal.text);
  const auto is = [](uint32_t n) {
    return [n](const OffloadStats& s) { return s.outbound_used == n && s.inbound_used == n; };
  };
  CONFORMANCE_REQUIRE(b->StatsWhen(is(1)).has_value(), "two SAs are not shown as 1 and 1 slots");
  for (const OffloadHandle handle : {*out, *in}) b->device().ReleaseSa(handle);
  (void)b->Erased(2);
  CONFORMANCE_REQUIRE(b->StatsWhen(is(0)).has_value(), "released SAs are shown as used slots");
  return Kept();
}

Outcome ErasedOnce(DriverBench* b) {
  const EspSample sample = b->Sample();
  std::vector<OffloadHandle> handles;
  for (int i = 0; i < 8; ++i) {
    const auto handle = b->Start(sample.spec(), i % 2 == 0 ? Half::kOutbound : Half::kInbound);
    CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
    handles.push_back(*handle);
  }
  CONFORMANCE_REQUIRE(b->Erased(0).empty(), "an SA is reported as erased that was not released");
  for (const OffloadHandle handle : handles) {
    b->device().StopSa(handle);
    b->device().ReleaseSa(handle);
  }
  const auto erased = b->Erased(handles.size());
  CONFORMANCE_REQUIRE(erased.size() == handles.size(),
                      Number(erased.size()) + " of 8 released SAs were reported as erased");
  for (const OffloadHandle handle : handles) {
    CONFORMANCE_REQUIRE(HasHandle(erased, handle), "a released SA is not reported as erased");
  }
  CONFORMANCE_REQUIRE(b->Erased(0).empty(), "an SA is reported as erased twice");
  return Kept();
}

Outcome BellRings(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = b->Start(sample.spec(), Half::kOutbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  b->device().StopSa(*handle);
  CONFORMANCE_REQUIRE(b->HearsBell([&] { b->device().ReleaseSa(*handle); }),
                      "the bell is not rung when a key is erased");
  return Kept();
}

Outcome UnknownHandlesAreIgnored(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = b->Start(sample.spec(), Half::kOutbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  for (const uint32_t wrong : {0u, ~0u, handle->value + 1, handle->value ^ 0x800000u}) {
    const OffloadHandle unknown(wrong);
    b->device().StartSa(unknown);
    b->device().AdvanceEsn(unknown, 1ull << 40);
    b->device().StopSa(unknown);
    b->device().ReleaseSa(unknown);
  }
  CONFORMANCE_REQUIRE(b->Erased(0).empty(), "an unknown handle erased an SA");
  const auto sent = b->Send({DriverBench::ToSeal(sample, *handle, 1, 64)}, 1);
  CONFORMANCE_REQUIRE(sent.size() == 1 && sent[0] == sample.Sealed(1, 64),
                      "an SA does not seal any more after calls with unknown handles");
  return Kept();
}

}  // namespace

std::span<const Check> DriverTableChecks() {
  static constexpr Check kChecks[] = {
      {"capabilities", "what it claims are algorithms, lengths, modes and families that exist",
       With<Capabilities, Need::kNothing>},
      {"claimed-is-taken", "every combination that it claims can be installed",
       With<EveryChoiceInstalls, Need::kCrypto>},
      {"handles-distinct", "no two SAs have one handle", With<HandlesAreDistinct, Need::kCrypto>},
      {"handles-not-reused", "the next SA in a slot has another handle",
       With<HandlesAreNotReused, Need::kSeal>},
      {"slots-as-claimed", "it takes as many SAs as it claims, and then says that it is full",
       With<SlotsAreAsClaimed, Need::kSeal>},
      {"refusal-holds-nothing", "it holds nothing of an SA that it refuses, and counts the refusal",
       With<RefusalsHoldNothing, Need::kSeal>},
      {"key-copied", "it keeps no pointer to the key", With<KeysAreCopied, Need::kSeal>},
      {"slots-counted", "its statistics show the slots in use",
       With<UsedSlotsAreCounted, Need::kCrypto>},
      {"erased-once", "each released SA is reported as erased, once",
       With<ErasedOnce, Need::kCrypto>},
      {"bell-rings", "the bell is rung when a key is erased", With<BellRings, Need::kSeal>},
      {"unknown-handles-ignored", "calls with handles that it never gave do nothing",
       With<UnknownHandlesAreIgnored, Need::kSeal>},
  };
  return kChecks;
}

}  // namespace cygnet::conformance
