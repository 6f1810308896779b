// The algorithms of a self-test, and which capability their failures are blamed on.
#include <algorithm>
#include <utility>

#include "datapath/device_tester_steps.h"

namespace cygnet {

std::vector<uint16_t> DeviceTester::KeysOf(const AlgorithmDescriptor& encryption) const {
  std::vector<uint16_t> keys;
  for (const uint16_t bytes : encryption.key_bytes) {
    if (bytes != 0 && Has(claimed_.key_bytes, bytes)) keys.push_back(bytes);
  }
  if (keys.empty() && encryption.key_bytes[0] == 0) keys.push_back(0);
  return keys;
}

std::vector<uint8_t> DeviceTester::IcvsOf(const AlgorithmDescriptor& integrity) const {
  std::vector<uint8_t> icvs;
  for (const uint8_t bytes : integrity.icv_bytes) {
    if (bytes != 0 && Has(claimed_.icv_bytes, bytes)) icvs.push_back(bytes);
  }
  return icvs;
}

// The algorithm with each companion that the device claims, with the first lengths.
std::vector<Suite> DeviceTester::SuitesOf(const AlgorithmDescriptor& row) const {
  std::vector<Suite> suites;
  const auto add = [&](const AlgorithmDescriptor* encryption, const AlgorithmDescriptor* auth) {
    const auto keys = KeysOf(*encryption);
    const auto icvs = IcvsOf(auth != nullptr ? *auth : *encryption);
    if (!keys.empty() && !icvs.empty()) suites.push_back({encryption, auth, keys[0], icvs[0]});
  };
  if (row.kind == AlgorithmKind::kAead) {
    add(&row, nullptr);
    return suites;
  }
  const bool is_auth = row.kind == AlgorithmKind::kAuth;
  for (const AlgorithmDescriptor* other : rows_) {
    if (other->kind != (is_auth ? AlgorithmKind::kCipher : AlgorithmKind::kAuth)) continue;
    is_auth ? add(other, &row) : add(&row, other);
  }
  // The null cipher has no part in a failure of the authenticator.
  (void)std::stable_partition(suites.begin(), suites.end(), [](const Suite& suite) {
    return suite.encryption->id == AlgorithmId::kNullCipher;
  });
  return suites;
}

// With one companion after the other, until one works: the algorithm is not to blame for the
// others.
void DeviceTester::TestAlgorithm(const AlgorithmDescriptor& row) {
  std::optional<AlgorithmResult> best;
  std::size_t fewest = kSlots + 1;
  const auto sizes = row.kind == AlgorithmKind::kAuth ? SelfTestSizes::kShort : SelfTestSizes::kAll;
  for (const Suite& pair : SuitesOf(row)) {
    AlgorithmResult result{.algorithm = &row, .works = pair};
    TestLengths(pair, sizes, &result);
    const auto failures = static_cast<std::size_t>(std::ranges::count_if(
        result.failed, [](const auto& failure) { return failure.has_value(); }));
    const bool taken = failures > 0 || Has(result.passed, true);
    if (taken && failures < fewest) {
      fewest = failures;
      best = std::move(result);
    }
    if (fewest == 0) break;
  }
  if (best.has_value()) algorithms_.push_back(*std::move(best));
}

// Every key and ICV length that the device claims for the pair. A length that fails where another
// works is withdrawn alone.
void DeviceTester::TestLengths(const Suite& pair, SelfTestSizes sizes, AlgorithmResult* result) {
  struct Trial {
    Suite suite;
    std::array<Kind, kSlots> kind;
    std::array<std::optional<SelfTestFailure>, kSlots> failure;
  };
  std::vector<Trial> trials;
  for (const uint16_t key : KeysOf(*pair.encryption)) {
    for (const uint8_t icv : IcvsOf(pair.auth != nullptr ? *pair.auth : *pair.encryption)) {
      Trial& trial = trials.emplace_back(Trial{{pair.encryption, pair.auth, key, icv}, {}, {}});
      trial.kind.fill(Kind::kNotTaken);
      for (std::size_t slot = 0; slot < kSlots; ++slot) {
        if (!ClaimsSlot(slot)) continue;
        const auto these = trials.size() == 1 ? sizes : SelfTestSizes::kShort;
        trial.kind[slot] = Try(CaseFor(slot, trial.suite, these), &trial.failure[slot]);
      }
    }
  }
  const auto passes = [&trials](std::size_t slot, auto which) {
    return std::ranges::any_of(
        trials, [&](const Trial& t) { return t.kind[slot] == Kind::kPassed && which(t.suite); });
  };
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    result->passed[slot] = passes(slot, [](const Suite&) { return true; });
  }
  for (Trial& trial : trials) {
    for (std::size_t slot = 0; slot < kSlots; ++slot) {
      if (trial.kind[slot] != Kind::kFailed) continue;
      const Suite& bad = trial.suite;
      if (!result->passed[slot]) {
        if (!result->failed[slot]) result->failed[slot] = std::move(trial.failure[slot]);
      } else if (!passes(slot, [&](const Suite& s) { return s.key_bytes == bad.key_bytes; })) {
        Withdraw("key-" + std::to_string(bad.key_bytes * 8), *std::move(trial.failure[slot]));
      } else {
        Withdraw("icv-" + std::to_string(bad.icv_bytes * 8), *std::move(trial.failure[slot]));
      }
    }
  }
  for (const Trial& trial : trials) {
    if (Has(trial.kind, Kind::kFailed) || !Has(trial.kind, Kind::kPassed)) continue;
    result->works = trial.suite;
    break;
  }
}

// --- Blame ---

// No algorithm works in the mode, and one works in the other.
void DeviceTester::BlameMode(OffloadMode mode) {
  const std::size_t out = SlotOf(mode, Half::kOutbound);
  const std::size_t other = out == 0 ? 2 : 0;
  const auto fails = [&](const AlgorithmResult& a, std::size_t first) {
    return a.failed[first].has_value() || a.failed[first + 1].has_value();
  };
  const bool all = !algorithms_.empty() && std::ranges::all_of(algorithms_, [&](const auto& a) {
    return fails(a, out) || (!a.passed[out] && !a.passed[out + 1]);
  });
  const auto first =
      std::ranges::find_if(algorithms_, [&](const auto& a) { return fails(a, out); });
  const bool elsewhere = std::ranges::any_of(algorithms_, [&](const auto& a) {
    return !fails(a, other) && (a.passed[other] || a.passed[other + 1]);
  });
  if (!all || !elsewhere || first == algorithms_.end()) return;
  const std::size_t slot = first->failed[out].has_value() ? out : out + 1;
  Withdraw(mode == OffloadMode::kPacket ? "packet-offload" : "crypto-offload",
           *first->failed[slot]);
  for (AlgorithmResult& a : algorithms_) {
    a.failed[out].reset();
    a.failed[out + 1].reset();
  }
}

// No algorithm works in the direction, and one works in the other.
void DeviceTester::BlameDirection(Half half) {
  const std::size_t mine = IndexOf(half);
  const std::size_t other = 1 - mine;
  const auto fails = [](const AlgorithmResult& a, std::size_t slot) {
    return a.failed[slot].has_value() || a.failed[slot + 2].has_value();
  };
  const bool all = std::ranges::all_of(algorithms_, [&](const auto& a) { return fails(a, mine); });
  const bool elsewhere = std::ranges::any_of(algorithms_, [&](const auto& a) {
    return !fails(a, other) && (a.passed[other] || a.passed[other + 2]);
  });
  if (!all || !elsewhere) return;
  const AlgorithmResult& first = algorithms_.front();
  Withdraw(std::string(IsInbound(half) ? "inbound" : "outbound"),
           *first.failed[first.failed[mine].has_value() ? mine : mine + 2]);
  for (AlgorithmResult& a : algorithms_) {
    a.failed[mine].reset();
    a.failed[mine + 2].reset();
  }
}

void DeviceTester::BlameAlgorithms() {
  for (const AlgorithmResult& a : algorithms_) {
    const auto failure =
        std::ranges::find_if(a.failed, [](const auto& f) { return f.has_value(); });
    if (failure != a.failed.end()) Withdraw(std::string(a.algorithm->name), **failure);
  }
}

}  // namespace cygnet
