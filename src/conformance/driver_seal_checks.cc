// Checks of drivers: packets on their way out.
#include "base/endian.h"
#include "conformance/driver_checks.h"
#include "net/checksum.h"

namespace cygnet::conformance {
namespace {

using Out = DriverBench::Out;

// The last one is of a jumbo frame.
constexpr std::array<std::size_t, 8> kSizes = {2, 14, 62, 126, 510, 1022, 1398, 8902};

Outcome SealsAs(DriverBench* b, const EspSample& sample, const std::string& what,
                std::span<const uint64_t> numbers) {
  const auto handle = b->Start(sample.spec(), Half::kOutbound);
  CONFORMANCE_REQUIRE(handle.has_value(), what + ": refused: " + b->refusal.text);
  for (const uint64_t seq : numbers) {
    for (const std::size_t size : kSizes) {
      const auto sent = b->Send({DriverBench::ToSeal(sample, *handle, seq, size)}, 1);
      const std::string which = what + ", text of " + std::to_string(size) + " bytes";
      CONFORMANCE_REQUIRE(sent.size() == 1, which + ": " + std::to_string(sent.size()) +
                                                " frames left instead of one");
      CONFORMANCE_REQUIRE(sent[0] != sample.Readable(seq, size), which + ": it left unsealed");
      CONFORMANCE_REQUIRE(sent[0] == sample.Sealed(seq, size),
                          which + ": it is not sealed as the reference seals it");
    }
  }
  b->device().StopSa(*handle);
  b->device().ReleaseSa(*handle);
  (void)b->Erased(1);
  return Kept();
}

Outcome SealVectors(DriverBench* b) {
  for (const Choice& choice : b->choices()) {
    for (const bool ipv6 : {false, true}) {
      if (ipv6 ? !b->device().caps().ipv6 : !b->device().caps().ipv4) continue;
      const EspSample sample = b->Sample(choice, {.ipv6 = ipv6});
      constexpr std::array<uint64_t, 2> kNumbers = {1, 0xffffffff};
      const Outcome outcome = SealsAs(b, sample, choice.Text(), kNumbers);
      if (outcome.verdict != Verdict::kKept) return outcome;
    }
  }
  return Kept();
}

Outcome SealEsn(DriverBench* b) {
  if (!b->esn()) return NotApplicable("it has no ESN");
  const EspSample sample = b->Sample({.esn = true});
  constexpr std::array<uint64_t, 3> kNumbers = {7, 0x1'00000001, 0xffffffff'00000002};
  return SealsAs(b, sample, "ESN", kNumbers);
}

Outcome ClearPasses(DriverBench* b) {
  b->StartClaimed();
  const EspSample sample = b->Sample();
  const std::vector<Bytes> frames = {ClearFrame(0), ClearFrame(700), sample.Sealed(9, 64),
                                     Bytes(60, 0x11), ClearFrame(8900)};
  std::vector<Out> out;
  for (const Bytes& frame : frames) out.push_back({.frame = frame});
  out[2].meta.status = OffloadStatus::kSealed;  // by the CPU
  CONFORMANCE_REQUIRE(b->Send(out, out.size()) == frames,
                      "frames that request nothing do not leave as they are, in order");
  return Kept();
}

Outcome StaleNeverLeaves(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto released = b->Start(sample.spec(), Half::kOutbound);
  const auto inbound = b->Start(sample.spec(), Half::kInbound);
  CONFORMANCE_REQUIRE(released.has_value() && inbound.has_value(), "refused: " + b->refusal.text);
  b->device().StopSa(*released);
  b->device().ReleaseSa(*released);
  (void)b->Erased(1);
  for (const OffloadHandle handle : {*released, *inbound, OffloadHandle(0), OffloadHandle(~0u)}) {
    const auto sent = b->Send({DriverBench::ToSeal(sample, handle, 1, 64)}, 0);
    CONFORMANCE_REQUIRE(sent.empty(),
                        "a packet for a handle that seals nothing left the device" +
                            std::string(sent[0] == sample.Readable(1, 64) ? " in clear" : ""));
  }
  return Kept();
}

Outcome DropsAreCounted(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto inbound = b->Start(sample.spec(), Half::kInbound);
  CONFORMANCE_REQUIRE(inbound.has_value(), "refused: " + b->refusal.text);
  (void)b->Send({DriverBench::ToSeal(sample, *inbound, 1, 64)}, 0);
  const auto counted = [b] {
    return b->device().device_drops()->Get(DropReason::kOutDeviceError) == 1;
  };
  CONFORMANCE_REQUIRE(b->Wait(counted),
                      "a packet that it cannot seal is not dropped as \"out-device-error\"");
  return Kept();
}

Outcome TooShortNeverLeaves(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = b->Start(sample.spec(), Half::kOutbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  const std::size_t least =
      sample.esp_offset() + kEspHeader + sample.layout().iv + 2u + sample.layout().icv;
  for (const std::size_t length : {least - 1, least - sample.layout().icv, std::size_t{40}}) {
    Out out = DriverBench::ToSeal(sample, *handle, 1, 64);
    out.frame.resize(length);
    CONFORMANCE_REQUIRE(b->Send({out}, 0).empty(), "a packet left that is too short to be sealed");
  }
  Out beyond = DriverBench::ToSeal(sample, *handle, 1, 64);
  beyond.meta.esp_offset = 0xffff;
  CONFORMANCE_REQUIRE(b->Send({beyond}, 0).empty(), "a packet left whose ESP header is beyond it");
  const auto sent = b->Send({DriverBench::ToSeal(sample, *handle, 1, 64)}, 1);
  CONFORMANCE_REQUIRE(sent.size() == 1 && sent[0] == sample.Sealed(1, 64),
                      "an ordinary packet is not sealed after packets that are too short");
  return Kept();
}

Outcome OrderIsKept(DriverBench* b) {
  const EspSample first = b->Sample({.spi = 0x2001});
  const EspSample second = b->Sample({.spi = 0x2002});
  const auto a = b->Start(first.spec(), Half::kOutbound);
  const auto c = b->Start(second.spec(), Half::kOutbound);
  CONFORMANCE_REQUIRE(a.has_value() && c.has_value(), "refused: " + b->refusal.text);
  std::vector<Out> out;
  for (uint64_t seq = 1; seq <= 96; ++seq) {
    const bool odd = seq % 2 != 0;
    out.push_back(DriverBench::ToSeal(odd ? first : second, odd ? *a : *c, seq, 64));
  }
  std::array<uint64_t, 2> last{};
  const auto sent = b->Send(out, out.size());
  CONFORMANCE_REQUIRE(sent.size() == out.size(),
                      std::to_string(sent.size()) + " of 96 packets left");
  for (const Bytes& frame : sent) {
    const uint8_t* esp = frame.data() + first.esp_offset();
    uint64_t* before = &last[LoadBe32(esp) == 0x2001 ? 0 : 1];
    const uint32_t seq = LoadBe32(esp + 4);
    CONFORMANCE_REQUIRE(seq > *before, "packet " + std::to_string(seq) + " of an SA left after " +
                                           std::to_string(*before));
    *before = seq;
  }
  return Kept();
}

Outcome ReleaseInFlight(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = b->Start(sample.spec(), Half::kOutbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  std::vector<Out> out;
  for (uint64_t seq = 1; seq <= kMaxBatch; ++seq) {
    out.push_back(DriverBench::ToSeal(sample, *handle, seq, 1022));
  }
  b->Transmit(out);
  b->device().StopSa(*handle);
  b->device().ReleaseSa(*handle);
  const auto sent = b->Sent(out.size());
  CONFORMANCE_REQUIRE(sent.size() == out.size(),
                      std::to_string(sent.size()) + " of 64 packets that were taken left");
  for (std::size_t i = 0; i < sent.size(); ++i) {
    CONFORMANCE_REQUIRE(sent[i] == sample.Sealed(i + 1, 1022),
                        "a packet that was taken before the release left without its seal");
  }
  CONFORMANCE_REQUIRE(b->Erased(1).size() == 1, "the SA is not erased after its last packet");
  return Kept();
}

Outcome SealedIsCounted(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = b->Start(sample.spec(), Half::kOutbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  std::vector<Out> out(5, DriverBench::ToSeal(sample, *handle, 1, 64));
  (void)b->Send(out, out.size());
  const auto five = [](const OffloadStats& s) { return s.sealed == 5; };
  CONFORMANCE_REQUIRE(b->StatsWhen(five).has_value(), "5 sealed packets are not counted as 5");
  return Kept();
}

// A packet whose IPv4 header has an option: it may be refused, but not sealed wrongly.
Outcome EligibleIsSealed(DriverBench* b) {
  if (!b->device().caps().ipv4) return NotApplicable("it has no IPv4");
  const EspSample sample = b->Sample();
  const auto handle = b->Start(sample.spec(), Half::kOutbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  Out plain = DriverBench::ToSeal(sample, *handle, 3, 64);
  Out option = plain;
  option.frame.insert(option.frame.begin() + 34, {1, 1, 1, 1});
  option.frame[14] = 0x46;
  StoreBe16(&option.frame[16], static_cast<uint16_t>(option.frame.size() - 14));
  WriteIpv4HeaderChecksum(&option.frame[14]);
  option.meta.esp_offset = 38;
  const std::array<Out, 2> both = {plain, option};
  PacketCaches caches(b->pools());
  std::array<Packet*, 2> packets{};
  std::array<bool, 2> eligible{};
  for (std::size_t i = 0; i < 2; ++i) {
    packets[i] = caches.small.Take();
    const auto n = static_cast<uint32_t>(both[i].frame.size());
    std::copy(both[i].frame.begin(), both[i].frame.end(), packets[i]->Append(n));
    packets[i]->l3_offset = 14;
    packets[i]->offload = both[i].meta;
  }
  b->device().FilterEligible(packets, eligible);
  for (std::size_t i = 0; i < 2; ++i) {
    const bool same = std::equal(both[i].frame.begin(), both[i].frame.end(),
                                 packets[i]->bytes().begin(), packets[i]->bytes().end());
    CONFORMANCE_REQUIRE(same, "filter_eligible has changed a packet");
    caches.small.Give(packets[i]);
  }
  CONFORMANCE_REQUIRE(eligible[0], "an ordinary packet is not eligible");
  if (!eligible[1]) return Kept();
  const Bytes sealed = sample.Sealed(3, 64);
  b->Transmit({option});
  std::vector<Bytes> sent;
  std::vector<DriverBench::Up> back;
  (void)b->Wait([&] {
    sent = b->Sent(0);
    back = b->Received(0);
    return !sent.empty() || !back.empty();
  });
  // An isolated driver is asked behind its ring.
  if (back.size() == 1 && back[0].meta.status == OffloadStatus::kReturned) {
    CONFORMANCE_REQUIRE(sent.empty() && back[0].frame == option.frame,
                        "a packet with an IP option comes back changed");
    return Kept();
  }
  CONFORMANCE_REQUIRE(sent.size() == 1 && std::equal(sealed.begin() + 34, sealed.end(),
                                                     sent[0].begin() + 38, sent[0].end()),
                      "a packet with an IP option was called eligible, and is sealed wrongly");
  return Kept();
}

}  // namespace

std::span<const Check> DriverSealChecks() {
  static constexpr Check kChecks[] = {
      {"seal-vectors", "it seals as the reference, for each algorithm, length and size",
       With<SealVectors, Need::kSeal>},
      {"seal-esn", "the high word of the sequence number is authenticated",
       With<SealEsn, Need::kSeal>},
      {"clear-passes-out", "frames that request nothing leave as they are, also jumbo frames",
       With<ClearPasses, Need::kWire>},
      {"stale-never-leaves", "no packet leaves for a handle that is released, inbound or unknown",
       With<StaleNeverLeaves, Need::kCrypto>},
      {"drops-counted", "what it drops is given back with its reason",
       With<DropsAreCounted, Need::kCrypto>},
      {"short-never-leaves", "no packet leaves that is too short to be sealed",
       With<TooShortNeverLeaves, Need::kSeal>},
      {"order-kept", "packets of an SA leave in order", With<OrderIsKept, Need::kSeal>},
      {"release-in-flight", "what was taken before a release leaves sealed",
       With<ReleaseInFlight, Need::kSeal>},
      {"sealed-counted", "its statistics show the sealed packets",
       With<SealedIsCounted, Need::kSeal>},
      {"eligible-is-sealed", "filter_eligible changes nothing, and what it accepts is sealed",
       With<EligibleIsSealed, Need::kSeal>},
  };
  return kChecks;
}

}  // namespace cygnet::conformance
