// Checks of engines: what becomes of the bytes of a job.
#include <algorithm>
#include <array>

#include "conformance/engine_checks.h"

namespace cygnet::conformance {
namespace {

using Esn = EnginePacket::Esn;

constexpr std::array<std::size_t, 12> kSizes = {0,   1,    15,   16,   17,   63,
                                                100, 1400, 1500, 2047, 4500, 8996};
constexpr std::array<Esn, 2> kBoth = {Esn::kNo, Esn::kYes};

std::string Which(const EngineSuite& suite, std::size_t size, Esn esn) {
  return suite.Text() + (esn == Esn::kYes ? ", ESN" : "") + ", text of " + std::to_string(size) +
         " bytes";
}

// An answer of an engine that need not do everything.
bool Passed(CryptoStatus status) { return status == CryptoStatus::kNotDone; }

// Calls check(packet, sessions, reference, which) for each suite, size and ESN, until one fails.
template <typename Fn>
Outcome ForEachPacket(EngineBench* b, std::span<const std::size_t> sizes, Fn check) {
  uint32_t seed = 0;
  for (const EngineSuite& suite : b->suites()) {
    const EngineSessions mine = b->Sessions(suite, 1);
    const EngineSessions reference = b->ReferenceSessions(suite, 1);
    CONFORMANCE_REQUIRE(mine.seal != nullptr && mine.open != nullptr,
                        suite.Text() + ": a session is refused that was made before");
    for (const std::size_t size : sizes) {
      for (const Esn esn : kBoth) {
        ++seed;
        EnginePacket packet(suite, size, seed % 64, esn, seed);
        const Outcome outcome =
            check(&packet, suite, mine, reference, Which(suite, packet.text().size(), esn));
        if (outcome.verdict != Verdict::kKept) return outcome;
      }
    }
  }
  return Kept();
}

Outcome SealVectors(EngineBench* b) {
  bool some = false;
  const Outcome outcome = ForEachPacket(
      b, kSizes,
      [&](EnginePacket* packet, const EngineSuite&, const EngineSessions& mine,
          const EngineSessions& reference, const std::string& which) {
        EnginePacket expected = *packet;
        const auto status = b->Run(packet->Job(mine.seal.get(), CryptoDirection::kSeal));
        if (Passed(status)) return Kept();
        (void)b->RunReference(expected.Job(reference.seal.get(), CryptoDirection::kSeal));
        some = true;
        CONFORMANCE_REQUIRE(status == CryptoStatus::kOk, which + ": it does not seal");
        CONFORMANCE_REQUIRE(std::ranges::equal(packet->packet(), expected.packet()),
                            which + ": it is not sealed as the reference seals it");
        return Kept();
      });
  if (outcome.verdict == Verdict::kKept && !some) return Broken("it returns every job undone");
  return outcome;
}

Outcome OpenVectors(EngineBench* b) {
  return ForEachPacket(
      b, kSizes,
      [&](EnginePacket* packet, const EngineSuite&, const EngineSessions& mine,
          const EngineSessions& reference, const std::string& which) {
        const EngineBytes plain(packet->text().begin(), packet->text().end());
        (void)b->RunReference(packet->Job(reference.seal.get(), CryptoDirection::kSeal));
        const EngineBytes icv(packet->icv().begin(), packet->icv().end());
        const auto status = b->Run(packet->Job(mine.open.get(), CryptoDirection::kOpen));
        if (Passed(status)) return Kept();
        CONFORMANCE_REQUIRE(status == CryptoStatus::kOk, which + ": it does not open");
        CONFORMANCE_REQUIRE(std::ranges::equal(packet->text(), plain),
                            which + ": it does not open to the text that was sealed");
        CONFORMANCE_REQUIRE(std::ranges::equal(packet->icv(), icv),
                            which + ": it changes the ICV of a packet that it opens");
        return Kept();
      });
}

constexpr std::array<std::size_t, 3> kFewSizes = {4, 100, 1400};

enum class Damage : uint8_t {
  kIcvFirst,
  kIcvMiddle,
  kIcvLast,
  kTextFirst,
  kTextLast,
  kSpi,
  kSequence
};
constexpr std::array<Damage, 7> kDamages = {
    Damage::kIcvFirst, Damage::kIcvMiddle, Damage::kIcvLast, Damage::kTextFirst,
    Damage::kTextLast, Damage::kSpi,       Damage::kSequence};

void Apply(Damage damage, EnginePacket* packet) {
  const auto flip = [](uint8_t* byte) { *byte ^= 0x40; };
  switch (damage) {
    case Damage::kIcvFirst:
      return flip(&packet->icv().front());
    case Damage::kIcvMiddle:
      return flip(&packet->icv()[packet->icv().size() / 2]);
    case Damage::kIcvLast:
      return flip(&packet->icv().back());
    case Damage::kTextFirst:
      return flip(&packet->text().front());
    case Damage::kTextLast:
      return flip(&packet->text().back());
    case Damage::kSpi:
      return flip(&packet->header()[0]);
    case Damage::kSequence:
      return flip(&packet->header()[7]);
  }
}

// Opens a damaged packet; `release`: look at the bytes, not at the answer.
template <typename Fn>
Outcome ForEachForgery(EngineBench* b, Fn check) {
  return ForEachPacket(
      b, kFewSizes,
      [&](EnginePacket* packet, const EngineSuite& suite, const EngineSessions& mine,
          const EngineSessions& reference, const std::string& which) {
        (void)b->RunReference(packet->Job(reference.seal.get(), CryptoDirection::kSeal));
        for (const Damage damage : kDamages) {
          EnginePacket forged = *packet;
          Apply(damage, &forged);
          const EngineBytes before(forged.text().begin(), forged.text().end());
          const auto status = b->Run(forged.Job(mine.open.get(), CryptoDirection::kOpen));
          if (Passed(status)) continue;
          const Outcome outcome = check(status, suite, before, forged.text(), which);
          if (outcome.verdict != Verdict::kKept) return outcome;
        }
        return Kept();
      });
}

Outcome ForgedFails(EngineBench* b) {
  return ForEachForgery(b, [](CryptoStatus status, const EngineSuite&, const EngineBytes&,
                              std::span<uint8_t>, const std::string& which) {
    CONFORMANCE_REQUIRE(status != CryptoStatus::kOk, which + ": a forged packet opens");
    CONFORMANCE_REQUIRE(status == CryptoStatus::kAuthFailed,
                        which + ": a forged packet is an error, not CYGNET_AUTH_FAILED");
    return Kept();
  });
}

Outcome ForgedReleasesNothing(EngineBench* b) {
  return ForEachForgery(b, [](CryptoStatus, const EngineSuite& suite, const EngineBytes& before,
                              std::span<uint8_t> after, const std::string& which) {
    const bool zero = std::ranges::all_of(after, [](uint8_t byte) { return byte == 0; });
    CONFORMANCE_REQUIRE(!suite.encrypts() || zero || std::ranges::equal(before, after),
                        which + ": the text of a forged packet is neither as it was nor zero");
    return Kept();
  });
}

Outcome BytesOutside(EngineBench* b) {
  return ForEachPacket(
      b, kSizes,
      [&](EnginePacket* packet, const EngineSuite& suite, const EngineSessions& mine,
          const EngineSessions& reference, const std::string& which) {
        const EnginePacket before = *packet;
        const auto front = [&](EnginePacket* p) {
          // A sealed IV is part of the text.
          const bool sealed_iv = suite.cipher->iv_form == IvForm::kSealed;
          return p->packet().first(8u + (sealed_iv ? 0u : suite.cipher->iv_bytes));
        };
        EnginePacket untouched = before;
        (void)b->Run(packet->Job(mine.seal.get(), CryptoDirection::kSeal));
        CONFORMANCE_REQUIRE(
            packet->FencesStand() && std::ranges::equal(front(packet), front(&untouched)),
            which + ": sealing changes bytes outside the text and the ICV");
        EnginePacket opened = before;
        (void)b->RunReference(opened.Job(reference.seal.get(), CryptoDirection::kSeal));
        (void)b->Run(opened.Job(mine.open.get(), CryptoDirection::kOpen));
        CONFORMANCE_REQUIRE(
            opened.FencesStand() && std::ranges::equal(front(&opened), front(&untouched)),
            which + ": opening changes bytes outside the text");
        return Kept();
      });
}

Outcome UndoneIsUntouched(EngineBench* b) {
  // More than the depth at once: some may be handed back.
  const EngineSessions mine = b->Sessions(b->suite(), 1);
  std::vector<EnginePacket> packets;
  for (uint32_t i = 0; i < 3 * EngineBench::kDepth; ++i) {
    packets.emplace_back(b->suite(), 64 + i % 1400, i % 64, Esn::kYes, i);
  }
  const std::vector<EnginePacket> before = packets;
  std::vector<CryptoJob> jobs;
  for (EnginePacket& p : packets) jobs.push_back(p.Job(mine.seal.get(), CryptoDirection::kSeal));
  b->Run(jobs);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const bool touched = packets[i].all() != before[i].all();
    CONFORMANCE_REQUIRE(jobs[i].status != CryptoStatus::kNotDone || !touched,
                        "a job that it returned undone has changed");
    CONFORMANCE_REQUIRE(jobs[i].status != CryptoStatus::kOk || touched,
                        "a job that it returned as sealed has not changed");
  }
  return Kept();
}

Outcome RaggedIsAnError(EngineBench* b) {
  for (const EngineSuite& suite : b->suites()) {
    if (suite.cipher->block_bytes == 1) continue;
    const EngineSessions mine = b->Sessions(suite, 1);
    EnginePacket packet(suite, 64, 0, Esn::kNo, 5);
    for (const auto direction : {CryptoDirection::kSeal, CryptoDirection::kOpen}) {
      CryptoJob job = packet.Job(
          direction == CryptoDirection::kSeal ? mine.seal.get() : mine.open.get(), direction);
      job.text_length -= 1;
      const auto status = b->Run(job);
      CONFORMANCE_REQUIRE(status != CryptoStatus::kOk,
                          suite.Text() + ": it does a text that is not a multiple of the block");
    }
    return Kept();
  }
  return NotApplicable("it has no cipher with blocks");
}

constexpr Check kChecks[] = {
    {"seal-vectors",
     "It seals as OpenSSL does: every suite, size, alignment, with and without ESN.",
     WithEngine<SealVectors>},
    {"open-vectors", "It opens what OpenSSL sealed, and restores the ICV.",
     WithEngine<OpenVectors>},
    {"forged-fails", "A packet with any damage is CYGNET_AUTH_FAILED.", WithEngine<ForgedFails>},
    {"forged-releases-nothing", "The text of a forged packet is as it was, or zero.",
     WithEngine<ForgedReleasesNothing>},
    {"bytes-outside", "Only the text and, when sealing, the ICV of a job change.",
     WithEngine<BytesOutside>},
    {"undone-is-untouched",
     "CYGNET_NOT_DONE means that no byte was touched, CYGNET_OK that all are.",
     WithEngine<UndoneIsUntouched>},
    {"ragged-is-an-error", "A text that the cipher cannot have is refused.",
     WithEngine<RaggedIsAnError>},
};

}  // namespace

std::span<const Check> EngineJobChecks() { return kChecks; }

}  // namespace cygnet::conformance
