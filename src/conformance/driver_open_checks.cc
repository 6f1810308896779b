// Checks of drivers: packets that arrive.
#include <array>

#include "base/endian.h"
#include "conformance/driver_checks.h"

namespace cygnet::conformance {
namespace {

using Up = DriverBench::Up;

std::string Status(const Up& up) {
  return "status " + std::to_string(static_cast<int>(up.meta.status));
}

// What opening leaves: all but the text is as it was.
bool OnlyTextChanged(const EspSample& sample, const Bytes& before, const Bytes& after) {
  const std::size_t front = sample.esp_offset() + kEspHeader + sample.layout().iv;
  const std::size_t icv = sample.layout().icv;
  return before.size() == after.size() &&
         std::equal(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(front),
                    after.begin()) &&
         std::equal(before.end() - static_cast<std::ptrdiff_t>(icv), before.end(),
                    after.end() - static_cast<std::ptrdiff_t>(icv));
}

Outcome OpensOne(DriverBench* b, const EspSample& sample, OffloadHandle handle, uint64_t seq,
                 std::size_t size, const std::string& what) {
  const Bytes sealed = sample.Sealed(seq, size);
  const auto up = b->Arrive({sealed});
  CONFORMANCE_REQUIRE(up.size() == 1, what + ": it did not come up");
  CONFORMANCE_REQUIRE(up[0].meta.status == OffloadStatus::kOpened,
                      what + ": came up with " + Status(up[0]));
  CONFORMANCE_REQUIRE(up[0].meta.handle == handle, what + ": names another handle");
  CONFORMANCE_REQUIRE(sample.TextOf(up[0].frame) == sample.TextOf(sample.Readable(seq, size)),
                      what + ": the text is wrong");
  if (sample.spec().esn()) {
    CONFORMANCE_REQUIRE(up[0].meta.esn_high == seq >> 32,
                        what + ": names the high word " + std::to_string(up[0].meta.esn_high));
  }
  return Kept();
}

Outcome OpenVectors(DriverBench* b) {
  for (const Choice& choice : b->choices()) {
    for (const bool ipv6 : {false, true}) {
      if (ipv6 ? !b->device().caps().ipv6 : !b->device().caps().ipv4) continue;
      const EspSample sample = b->Sample(choice, {.ipv6 = ipv6});
      const auto handle = b->Start(sample.spec(), Half::kInbound);
      CONFORMANCE_REQUIRE(handle.has_value(), choice.Text() + ": refused: " + b->refusal.text);
      uint64_t seq = 1;
      for (const std::size_t size : {2u, 62u, 510u, 1398u}) {
        const Outcome outcome = OpensOne(b, sample, *handle, seq++, size, choice.Text());
        if (outcome.verdict != Verdict::kKept) return outcome;
      }
      b->device().StopSa(*handle);
      b->device().ReleaseSa(*handle);
      (void)b->Erased(1);
    }
  }
  return Kept();
}

Outcome HeadersAreKept(DriverBench* b) {
  const EspSample sample = b->Sample();
  (void)b->Start(sample.spec(), Half::kInbound);
  const Bytes sealed = sample.Sealed(1, 126);
  const auto up = b->Arrive({sealed});
  CONFORMANCE_REQUIRE(up.size() == 1 && OnlyTextChanged(sample, sealed, up[0].frame),
                      "headers, IV, ICV or the length of an opened packet have changed");
  return Kept();
}

// The high word is inferred from the numbers before, over the window (RFC 4303, appendix A).
Outcome OpenEsn(DriverBench* b) {
  if (!b->esn()) return NotApplicable("it has no ESN");
  const EspSample sample = b->Sample({.esn = true});
  const auto handle = b->Start(sample.spec(), Half::kInbound, 0x2'fffffff0);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  // Forward, across the border, and one that comes late from before it.
  for (const uint64_t seq : {0x2'fffffff8ull, 0x3'00000004ull, 0x2'fffffffbull, 0x3'00000005ull}) {
    const Outcome outcome = OpensOne(b, sample, *handle, seq, 62, "number " + std::to_string(seq));
    if (outcome.verdict != Verdict::kKept) return outcome;
  }
  return Kept();
}

Outcome AdvanceEsn(DriverBench* b) {
  if (!b->esn()) return NotApplicable("it has no ESN");
  const EspSample sample = b->Sample({.esn = true});
  const auto handle = b->Start(sample.spec(), Half::kInbound, 0);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  if (b->plugin().driver.advance_esn == nullptr) return NotApplicable("it has no advance_esn");
  b->device().AdvanceEsn(*handle, 0x5'80000000);
  return OpensOne(b, sample, *handle, 0x5'80000001, 62, "after advance_esn");
}

Outcome ForgedFails(DriverBench* b) {
  const EspSample sample = b->Sample();
  (void)b->Start(sample.spec(), Half::kInbound);
  const Bytes sealed = sample.Sealed(1, 62);
  const std::size_t esp = sample.esp_offset();
  const std::size_t text = esp + kEspHeader + sample.layout().iv;
  std::vector<std::size_t> places = {esp + 7, esp + kEspHeader, text, text + 20};
  // Each byte of the ICV: a device that compares a part of it believes the others.
  for (std::size_t i = 1; i <= sample.layout().icv; ++i) places.push_back(sealed.size() - i);
  for (const std::size_t at : places) {
    Bytes forged = sealed;
    forged[at] ^= 0x40;
    const auto up = b->Arrive({forged});
    CONFORMANCE_REQUIRE(
        up.size() == 1 && up[0].meta.status == OffloadStatus::kAuthFailed,
        "a packet with a changed byte " + std::to_string(at) + " did not come up as AUTH_FAILED");
  }
  return Kept();
}

Outcome FailuresAreCounted(DriverBench* b) {
  const EspSample sample = b->Sample();
  (void)b->Start(sample.spec(), Half::kInbound);
  Bytes forged = sample.Sealed(1, 62);
  forged.back() ^= 1;
  const EspSample other = b->Sample({.spi = 0x7777});
  (void)b->Arrive({sample.Sealed(2, 62), sample.Sealed(3, 62), forged, other.Sealed(1, 62)});
  const auto counted = [](const OffloadStats& s) {
    return s.opened == 2 && s.auth_failed == 1 && s.passed_unknown == 1;
  };
  CONFORMANCE_REQUIRE(b->StatsWhen(counted).has_value(),
                      "2 opened, 1 forged and 1 unknown packet are not counted as such");
  return Kept();
}

Outcome PassesUntouched(DriverBench* b, const std::vector<Bytes>& frames, const std::string& what) {
  const auto up = b->Arrive(frames);
  CONFORMANCE_REQUIRE(up.size() == frames.size(), what + ": not every frame came up");
  for (std::size_t i = 0; i < up.size(); ++i) {
    CONFORMANCE_REQUIRE(up[i].meta.status == OffloadStatus::kNone,
                        what + ": came up with " + Status(up[i]));
    CONFORMANCE_REQUIRE(up[i].frame == frames[i], what + ": came up changed, or in another order");
  }
  return Kept();
}

Outcome NotBeforeStart(DriverBench* b) {
  const EspSample sample = b->Sample();
  (void)b->Install(sample.spec(), Half::kInbound);
  return PassesUntouched(b, {sample.Sealed(1, 62)}, "a packet before start_sa");
}

Outcome NotAfterStop(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = b->Start(sample.spec(), Half::kInbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  b->device().StopSa(*handle);
  return PassesUntouched(b, {sample.Sealed(1, 62)}, "a packet after stop_sa");
}

Outcome UnknownPasses(DriverBench* b) {
  const EspSample sample = b->Sample();
  (void)b->Start(sample.spec(), Half::kInbound);
  const EspSample outbound = b->Sample({.spi = 0x3003});
  (void)b->Start(outbound.spec(), Half::kOutbound);
  const EspSample elsewhere = b->Sample({.last_octet = 77});
  return PassesUntouched(
      b,
      {b->Sample({.spi = 0x9999}).Sealed(1, 62), outbound.Sealed(1, 62), elsewhere.Sealed(1, 62)},
      "ESP of no inbound SA (another SPI, an outbound SA, another destination)");
}

Outcome ClearPassesIn(DriverBench* b) {
  b->StartClaimed();
  return PassesUntouched(b, {ClearFrame(0), Bytes(60, 0x77), ClearFrame(900), ClearFrame(8900)},
                         "a frame in clear");
}

// Cut short, fragments, lengths that lie.
Outcome BrokenFramesPass(DriverBench* b) {
  b->StartClaimed();
  const EspSample sample = b->Sample();
  const Bytes sealed = sample.Sealed(1, 126);
  std::vector<Bytes> frames;
  for (std::size_t length = kEthernetHeader; length < sealed.size(); length += 3) {
    frames.emplace_back(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(length));
  }
  if (b->device().caps().ipv4) {
    for (const uint8_t flags :
         std::array<uint8_t, 2>{0x20, 0x01}) {  // the first of several, a later one
      Bytes fragment = sealed;
      fragment[20] = flags;
      frames.push_back(fragment);
    }
    Bytes tiny = sealed;
    StoreBe16(&tiny[16], 28);  // IP says: header, SPI and number
    frames.push_back(tiny);
    Bytes no_header = sealed;
    no_header[14] = 0x41;
    frames.push_back(no_header);
  }
  for (std::size_t at = 0; at < frames.size(); at += 16) {
    const auto end = std::min(frames.size(), at + 16);
    const Outcome outcome =
        PassesUntouched(b,
                        {frames.begin() + static_cast<std::ptrdiff_t>(at),
                         frames.begin() + static_cast<std::ptrdiff_t>(end)},
                        "a frame that is cut, a fragment, or lies about its lengths");
    if (outcome.verdict != Verdict::kKept) return outcome;
  }
  return Kept();
}

}  // namespace

std::span<const Check> DriverOpenChecks() {
  static constexpr Check kChecks[] = {
      {"open-vectors", "it opens what the reference sealed, and names the SA's handle",
       With<OpenVectors, Need::kOpen>},
      {"headers-kept", "opening changes the text alone", With<HeadersAreKept, Need::kOpen>},
      {"open-esn", "it infers the high word of the sequence number over the window",
       With<OpenEsn, Need::kOpen>},
      {"advance-esn", "advance_esn moves the guess of the high word",
       With<AdvanceEsn, Need::kOpen>},
      {"forged-fails", "a packet with a changed byte comes up as AUTH_FAILED",
       With<ForgedFails, Need::kOpen>},
      {"arrivals-counted", "its statistics show opened, forged and unknown packets",
       With<FailuresAreCounted, Need::kOpen>},
      {"not-before-start", "packets that arrive before start_sa pass untouched",
       With<NotBeforeStart, Need::kOpen>},
      {"not-after-stop", "packets that arrive after stop_sa pass untouched",
       With<NotAfterStop, Need::kOpen>},
      {"unknown-passes", "ESP that no inbound SA of it covers passes untouched",
       With<UnknownPasses, Need::kCrypto>},
      {"clear-passes-in", "frames in clear come up untouched and in order, also jumbo frames",
       With<ClearPassesIn, Need::kWire>},
      {"broken-frames-pass", "frames that are cut, fragments and lying lengths pass untouched",
       With<BrokenFramesPass, Need::kWire>},
  };
  return kChecks;
}

}  // namespace cygnet::conformance
