#include "crypto/known_answer.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include "crypto/known_answer_vectors.h"

namespace cygnet {
namespace {

using Bytes = std::vector<uint8_t>;

// A device that returns nothing for this long has failed. CPU engines finish at once.
constexpr std::chrono::seconds kPatience{2};

uint8_t Nibble(char c) { return static_cast<uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); }

Bytes FromHex(std::string_view hex) {
  Bytes out(hex.size() / 2);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<uint8_t>(Nibble(hex[2 * i]) << 4 | Nibble(hex[2 * i + 1]));
  }
  return out;
}

const KnownAnswer* AnswerFor(AlgorithmId id) {
  const auto* found = std::ranges::find(kKnownAnswers, id, &KnownAnswer::id);
  return found == std::end(kKnownAnswers) ? nullptr : found;
}

// The algorithm under test, and its companion in a pair.
struct Suite {
  const AlgorithmDescriptor* cipher = nullptr;
  const AlgorithmDescriptor* auth = nullptr;
  Bytes key{};
  Bytes auth_key{};
  uint8_t icv_bytes = 0;
};

// Both directions of an SA, the memory of one packet, and a queue of the engine.
struct Bench {
  std::unique_ptr<CryptoSession> seal;
  std::unique_ptr<CryptoSession> open;
  std::unique_ptr<CryptoQueue> queue;
  Bytes bytes;  // text ‖ ICV
  CryptoJob job;
};

// False if the engine accepted no job or did not return it in time.
bool Finish(Bench* bench) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  CryptoJob* job = &bench->job;
  job->status = CryptoStatus::kPending;
  while (bench->queue->Submit({job, 1}) == 0) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  while (job->status == CryptoStatus::kPending) {
    CryptoJob done;
    if (bench->queue->Poll({&done, 1}) == 1) job->status = done.status;
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

Result<std::unique_ptr<Bench>> MakeBench(CryptoEngine* engine, const Suite& suite,
                                         const KnownAnswer& answer) {
  auto bench = std::make_unique<Bench>();
  SessionParams params{.cipher = suite.cipher,
                       .key = suite.key,
                       .auth = suite.auth,
                       .auth_key = suite.auth_key,
                       .icv_bytes = suite.icv_bytes,
                       .direction = CryptoDirection::kSeal};
  auto seal = engine->CreateSession(params);
  if (!seal) return seal.error();
  bench->seal = *std::move(seal);
  params.direction = CryptoDirection::kOpen;
  auto open = engine->CreateSession(params);
  if (!open) return open.error();
  bench->open = *std::move(open);
  bench->queue = engine->CreateQueue(0);
  if (bench->queue == nullptr) return MakeError(Errc::kNotSupported, "no queue");
  bench->bytes = FromHex(answer.plaintext);
  const std::size_t text_bytes = bench->bytes.size();
  bench->bytes.resize(text_bytes + suite.icv_bytes);
  const Bytes nonce = FromHex(answer.nonce);
  const Bytes aad = FromHex(answer.aad);
  CryptoJob& job = bench->job;
  job.text = bench->bytes.data();
  job.text_length = static_cast<uint32_t>(text_bytes);
  job.icv = job.text + text_bytes;
  job.auth_begin = job.text;
  std::ranges::copy(nonce, job.nonce.begin());
  std::ranges::copy(aad, job.aad.begin());
  job.aad_length = static_cast<uint32_t>(aad.size());
  return bench;
}

// The engine does not do it, which is not a wrong answer.
constexpr const char* kLost = "it does not return the job";
constexpr const char* kDoesNotSeal = "it does not seal";

// Describes the failure, nullptr if none. `lost` is set if a job is still with the engine.
const char* RunAnswer(Bench* bench, const KnownAnswer& answer, bool* lost) {
  const Bytes sealed_text =
      FromHex(answer.ciphertext.empty() ? answer.plaintext : answer.ciphertext);
  const Bytes icv = FromHex(answer.icv);
  const Bytes text = FromHex(answer.plaintext);
  CryptoJob& job = bench->job;
  const auto run = [&](const std::unique_ptr<CryptoSession>& session) {
    job.session = session.get();
    *lost = !Finish(bench);
    return *lost ? CryptoStatus::kPending : job.status;
  };
  if (run(bench->seal) != CryptoStatus::kOk) return *lost ? kLost : kDoesNotSeal;
  if (!std::ranges::equal(sealed_text, std::span(job.text, job.text_length))) {
    return "its ciphertext is not the known one";
  }
  if (!std::ranges::equal(icv, std::span(job.icv, icv.size()))) {
    return "its ICV is not the known one";
  }
  if (run(bench->open) != CryptoStatus::kOk) return *lost ? kLost : "it does not open";
  if (!std::ranges::equal(text, std::span(job.text, job.text_length))) {
    return "its plaintext is not the known one";
  }
  std::ranges::copy(sealed_text, job.text);
  *job.icv ^= 1;
  if (run(bench->open) != CryptoStatus::kAuthFailed) {
    return *lost ? kLost : "it accepts a forged ICV";
  }
  return nullptr;
}

Error Failure(const CryptoEngine& engine, const AlgorithmDescriptor& algorithm,
              const std::string& what, Errc code = Errc::kNotSupported) {
  return MakeError(code, std::string(engine.name()) + ": self-test of " +
                             std::string(algorithm.name) + " failed: " + what);
}

Status TestSuite(CryptoEngine* engine, const AlgorithmDescriptor& tested, const Suite& suite,
                 const KnownAnswer& answer) {
  auto bench = MakeBench(engine, suite, answer);
  if (!bench) return Failure(*engine, tested, bench.error().message);
  bool lost = false;
  const char* wrong = RunAnswer(bench->get(), answer, &lost);
  // A device may still write to the job's bytes, so they must stay allocated.
  if (lost) static_cast<void>((*std::move(bench)).release());
  if (wrong == nullptr) return {};
  const bool undone = wrong == kLost || wrong == kDoesNotSeal;
  return Failure(*engine, tested, wrong, undone ? Errc::kNotSupported : Errc::kIo);
}

// The first row of the kind that the engine supports together with `row`.
const AlgorithmDescriptor* Companion(const CryptoEngine& engine, const AlgorithmDescriptor& row,
                                     AlgorithmKind kind) {
  for (const AlgorithmDescriptor& other : AllAlgorithms()) {
    if (other.kind != kind) continue;
    const bool cipher = kind == AlgorithmKind::kCipher;
    if (engine.Supports(cipher ? other : row, cipher ? &row : &other)) return &other;
  }
  return nullptr;
}

Bytes KeyWithSalt(const AlgorithmDescriptor& row, const KnownAnswer& answer) {
  Bytes key = FromHex(answer.key);
  key.resize(key.size() + row.salt_bytes);
  return key;
}

// nullopt if the engine does not support the row at all.
std::optional<Suite> SuiteFor(const CryptoEngine& engine, const AlgorithmDescriptor& row,
                              const KnownAnswer& answer) {
  if (row.kind == AlgorithmKind::kAead) {
    if (!engine.Supports(row, nullptr)) return std::nullopt;
    return Suite{.cipher = &row, .key = KeyWithSalt(row, answer), .icv_bytes = row.icv_bytes[0]};
  }
  if (row.kind == AlgorithmKind::kCipher) {
    const AlgorithmDescriptor* auth = Companion(engine, row, AlgorithmKind::kAuth);
    if (auth == nullptr) return std::nullopt;
    return Suite{.cipher = &row,
                 .auth = auth,
                 .key = KeyWithSalt(row, answer),
                 .auth_key = Bytes(auth->key_bytes[0], 0x11),
                 .icv_bytes = auth->default_icv_bytes()};
  }
  const AlgorithmDescriptor* null_cipher =
      FindAlgorithm(AlgorithmKind::kCipher, "ecb(cipher_null)");
  if (!engine.Supports(*null_cipher, &row)) return std::nullopt;
  return Suite{.cipher = null_cipher,
               .auth = &row,
               .auth_key = FromHex(answer.key),
               .icv_bytes = row.icv_bytes[0]};
}

}  // namespace

Status RunSelfTest(CryptoEngine* engine) {
  for (const AlgorithmDescriptor& row : AllAlgorithms()) {
    if (row.id == AlgorithmId::kNullCipher) continue;  // tested by every authenticator
    const KnownAnswer* answer = AnswerFor(row.id);
    if (answer == nullptr) return Failure(*engine, row, "no known answer");
    if (const auto suite = SuiteFor(*engine, row, *answer)) {
      CYGNET_RETURN_IF_ERROR(TestSuite(engine, row, *suite, *answer));
    } else if (row.kind == AlgorithmKind::kAuth &&
               Companion(*engine, row, AlgorithmKind::kCipher) != nullptr) {
      return Failure(*engine, row, "no known answer without the null cipher");
    }
  }
  return {};
}

SelfTestOutcome TestEngine(CryptoEngine* engine) {
  const Status status = RunSelfTest(engine);
  return {.ran = true, .failure = status ? std::string() : status.error().message};
}

}  // namespace cygnet
