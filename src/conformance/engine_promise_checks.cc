// Checks of engines: limits, keys, and what the data path must not wait for.
#include <algorithm>

#include "conformance/call_times.h"
#include "conformance/engine_checks.h"

namespace cygnet::conformance {
namespace {

Outcome LimitsHold(EngineBench* b) {
  constexpr uint32_t kMostSessions = 5000;
  const uint32_t limit = b->engine().stats().session_limit;
  if (limit == 0) return NotApplicable("it names no largest number of sessions");
  if (limit > kMostSessions) return NotApplicable("it has room for too many sessions");
  std::vector<std::unique_ptr<CryptoSession>> sessions;
  while (sessions.size() < limit) {
    sessions.push_back(
        b->Session(b->suite(), static_cast<uint32_t>(sessions.size()), CryptoDirection::kSeal));
    CONFORMANCE_REQUIRE(sessions.back() != nullptr, "it claims room for " + std::to_string(limit) +
                                                        " sessions, and makes " +
                                                        std::to_string(sessions.size() - 1));
  }
  return Kept();
}

// The key stands in memory that is overwritten right after session_create.
Outcome KeyCopied(EngineBench* b) {
  EngineKeys keys(b->suite(), 9);
  auto session = b->engine().CreateSession(ParamsOf(b->suite(), keys, CryptoDirection::kSeal));
  CONFORMANCE_REQUIRE(session.has_value(), "it refuses a session");
  std::ranges::fill(keys.key, uint8_t{0xee});
  std::ranges::fill(keys.auth_key, uint8_t{0xee});
  const EngineSessions reference = b->ReferenceSessions(b->suite(), 9);
  EnginePacket packet(b->suite(), 100, 0, EnginePacket::Esn::kNo, 3);
  EnginePacket expected = packet;
  const auto status = b->Run(packet.Job(session->get(), CryptoDirection::kSeal));
  (void)b->RunReference(expected.Job(reference.seal.get(), CryptoDirection::kSeal));
  CONFORMANCE_REQUIRE(status != CryptoStatus::kOk || packet.all() == expected.all(),
                      "a packet is sealed wrongly once the key of session_create is overwritten");
  return Kept();
}

Outcome NeverWaits(EngineBench* b) {
  constexpr int kRounds = 32;
  const auto session = b->Session(b->suite(), 1, CryptoDirection::kSeal);
  CONFORMANCE_REQUIRE(session != nullptr, "it refuses a session");
  std::vector<EnginePacket> packets(EngineBench::kDepth,
                                    EnginePacket(b->suite(), 64, 0, EnginePacket::Esn::kNo, 1));
  std::vector<CryptoJob> jobs;
  for (EnginePacket& p : packets) jobs.push_back(p.Job(session.get(), CryptoDirection::kSeal));
  CallTimes submitting, polling;
  for (int round = 0; round < kRounds; ++round) {
    std::size_t taken = 0, done = 0;
    std::array<CryptoJob, EngineBench::kDepth> room;
    submitting.Time([&] { taken = b->queue()->Submit(jobs); });
    polling.Time([&] { done = b->queue()->Poll(room); });
    b->Finish(taken - done);
  }
  std::string late = submitting.Late("submit with 64 jobs");
  if (late.empty()) late = polling.Late("poll");
  return late.empty() ? Kept() : Broken(late);
}

constexpr Check kChecks[] = {
    {"limits-hold", "It makes as many sessions as it claims to have room for.",
     WithEngine<LimitsHold>},
    {"key-copied", "It keeps no pointer to a key.", WithEngine<KeyCopied>},
    {"never-waits", "submit and poll do not wait.", WithEngine<NeverWaits>},
};

}  // namespace

std::span<const Check> EnginePromiseChecks() { return kChecks; }

}  // namespace cygnet::conformance
