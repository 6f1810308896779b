// Shared by the conformance tests: every suite of the table, ESP-like packets, and a harness that
// runs jobs through any engine, synchronous or not.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/endian.h"
#include "crypto/crypto_engine.h"

namespace cygnet::test {

using Bytes = std::vector<uint8_t>;

inline Bytes RandomBytes(std::mt19937* random, std::size_t n) {
  Bytes out(n);
  for (uint8_t& b : out) b = static_cast<uint8_t>((*random)());
  return out;
}

// An algorithm, or a pair, with its lengths.
struct Suite {
  const AlgorithmDescriptor* cipher;
  const AlgorithmDescriptor* auth;  // nullptr: AEAD
  std::size_t key_bytes;            // including the salt
  uint8_t icv_bytes;

  bool encrypts() const { return cipher->id != AlgorithmId::kNullCipher && !cipher->iv_in_aad; }
  std::size_t auth_key_bytes() const { return auth == nullptr ? 0 : auth->key_bytes[0]; }
  std::string name() const {
    return std::string(cipher->name) + (auth == nullptr ? "" : "+" + std::string(auth->name)) +
           " key " + std::to_string(key_bytes) + " icv " + std::to_string(icv_bytes);
  }
};

// Every AEAD and every cipher with every authenticator, × key lengths × ICV lengths.
inline std::vector<Suite> AllSuites() {
  std::vector<Suite> suites;
  const auto add = [&suites](const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) {
    for (std::size_t k = 0; k < cipher.key_bytes.size(); ++k) {
      if (k > 0 && cipher.key_bytes[k] == 0) continue;
      for (const uint8_t icv : (auth != nullptr ? auth : &cipher)->icv_bytes) {
        if (icv == 0) continue;
        suites.push_back(
            {&cipher, auth, std::size_t{cipher.key_bytes[k]} + cipher.salt_bytes, icv});
      }
    }
  };
  for (const AlgorithmDescriptor& cipher : AllAlgorithms()) {
    if (cipher.kind == AlgorithmKind::kAead) add(cipher, nullptr);
    if (cipher.kind != AlgorithmKind::kCipher) continue;
    for (const AlgorithmDescriptor& auth : AllAlgorithms()) {
      if (auth.kind == AlgorithmKind::kAuth) add(cipher, &auth);
    }
  }
  return suites;
}

// Both directions of one SA. Destroy before the engine.
struct Sessions {
  std::unique_ptr<CryptoSession> seal;
  std::unique_ptr<CryptoSession> open;
};

struct Keys {
  Bytes key;
  Bytes auth_key;
  Keys() = default;
  Keys(const Suite& suite, std::mt19937* random)
      : key(RandomBytes(random, suite.key_bytes)),
        auth_key(RandomBytes(random, suite.auth_key_bytes())) {}
};

// An engine with the queue of one thread.
class Harness {
 public:
  explicit Harness(const EngineInfo* info)
      : owned_(info->create({})), engine_(owned_.get()), queue_(engine_->CreateQueue(0)) {}
  Harness(CryptoEngine* engine, uint32_t thread)
      : engine_(engine), queue_(engine->CreateQueue(thread)) {}

  CryptoEngine* engine() const { return engine_; }
  bool Does(const Suite& suite) const { return engine_->Supports(*suite.cipher, suite.auth); }

  std::unique_ptr<CryptoSession> Session(const Suite& suite, const Keys& keys,
                                         CryptoDirection direction) {
    auto session = engine_->CreateSession({.cipher = suite.cipher,
                                           .key = keys.key,
                                           .auth = suite.auth,
                                           .auth_key = keys.auth_key,
                                           .icv_bytes = suite.icv_bytes,
                                           .direction = direction});
    EXPECT_TRUE(session.has_value()) << suite.name();
    return session.has_value() ? *std::move(session) : nullptr;
  }
  Sessions MakeSessions(const Suite& suite, const Keys& keys) {
    return {Session(suite, keys, CryptoDirection::kSeal),
            Session(suite, keys, CryptoDirection::kOpen)};
  }

  // Runs until every job is finished; the statuses are in `jobs`. Does not allocate.
  void Run(std::span<CryptoJob> jobs) {
    for (std::size_t i = 0; i < jobs.size(); ++i) jobs[i].tag = static_cast<uint32_t>(i);
    std::size_t taken = 0;
    while (taken < jobs.size()) {
      taken += queue_->Submit(jobs.subspan(taken));
      Collect(jobs);
    }
    while (std::ranges::any_of(
        jobs, [](const CryptoJob& job) { return job.status == CryptoStatus::kPending; })) {
      Collect(jobs);
    }
  }
  CryptoStatus Run(CryptoJob job) {
    Run({&job, 1});
    return job.status;
  }

 private:
  void Collect(std::span<CryptoJob> jobs) {
    const std::size_t n = queue_->Poll(done_);
    for (std::size_t i = 0; i < n; ++i) jobs[done_[i].tag].status = done_[i].status;
  }

  std::unique_ptr<CryptoEngine> owned_;
  CryptoEngine* engine_;
  std::unique_ptr<CryptoQueue> queue_;
  std::array<CryptoJob, 64> done_;
};

// ESP header ‖ IV ‖ text ‖ ICV at a chosen alignment, with guard bytes on both sides.
class EspBytes {
 public:
  uint32_t esn_high;

  enum class Esn : uint8_t { kNo, kYes };

  // `payload` is rounded up to the cipher's block.
  EspBytes(const Suite& suite, std::size_t payload, std::size_t shift, Esn esn,
           std::mt19937* random)
      : esn_high(static_cast<uint32_t>((*random)())), suite_(suite), esn_(esn), shift_(shift) {
    const std::size_t block = suite.cipher->block_bytes;
    payload = (payload + block - 1) / block * block;
    size_ = kHeader + suite.cipher->iv_bytes + payload + suite.icv_bytes;
    bytes_ = RandomBytes(random, kFence + shift + size_ + kFence);
    std::fill_n(bytes_.begin(), kFence + shift, kFenceByte);
    std::fill_n(bytes_.end() - kFence, kFence, kFenceByte);
    for (std::size_t i = 0; i < suite.cipher->salt_bytes; ++i) {
      salt_[i] = static_cast<uint8_t>(i + 1);
    }
  }

  void set_esn(Esn esn) { esn_ = esn; }
  // The same packet at another alignment. REQUIRES: made with shift 0.
  void MoveTo(std::size_t shift) {
    bytes_.insert(bytes_.begin(), shift, kFenceByte);
    shift_ = shift;
  }

  uint8_t* esp() { return bytes_.data() + kFence + shift_; }
  std::span<uint8_t> packet() { return {esp(), size_}; }
  std::span<uint8_t> text() {
    const std::size_t front = kHeader + suite_.cipher->iv_bytes;
    return packet().subspan(front, size_ - front - suite_.icv_bytes);
  }
  std::span<uint8_t> icv() { return packet().last(suite_.icv_bytes); }
  bool FencesStand() const {
    const auto intact = [](uint8_t b) { return b == kFenceByte; };
    return std::all_of(bytes_.begin(), bytes_.begin() + kFence, intact) &&
           std::all_of(bytes_.end() - kFence, bytes_.end(), intact);
  }

  // The job that esp/crypto_jobs.cc would build for these bytes.
  CryptoJob Job(CryptoSession* session, CryptoDirection direction) {
    const AlgorithmDescriptor& cipher = *suite_.cipher;
    uint8_t* iv = esp() + kHeader;
    CryptoJob job;
    job.session = session;
    job.text = text().data();
    job.text_length = static_cast<uint32_t>(text().size());
    if (cipher.iv_form == IvForm::kSealed && direction == CryptoDirection::kSeal) {
      job.text = iv;
      job.text_length += cipher.iv_bytes;
    } else {
      std::memcpy(job.nonce.data(), salt_.data(), cipher.salt_bytes);
      std::memcpy(job.nonce.data() + cipher.salt_bytes, iv, cipher.iv_bytes);
    }
    uint8_t* aad = job.aad.data();
    std::memcpy(aad, esp(), 4);
    aad += 4;
    if (esn_ == Esn::kYes) {
      StoreBe32(aad, esn_high);
      aad += 4;
    }
    std::memcpy(aad, esp() + 4, 4);
    aad += 4;
    if (cipher.iv_in_aad) {
      std::memcpy(aad, iv, cipher.iv_bytes);
      aad += cipher.iv_bytes;
    }
    job.aad_length = static_cast<uint32_t>(aad - job.aad.data());
    job.icv = icv().data();
    job.auth_begin = esp();
    job.esn_high = esn_high;
    job.append_esn_high = esn_ == Esn::kYes;
    return job;
  }

 private:
  static constexpr std::size_t kHeader = 8;
  static constexpr std::size_t kFence = 64;
  static constexpr uint8_t kFenceByte = 0xfe;

  Suite suite_;
  Esn esn_;
  std::size_t shift_;
  std::size_t size_ = 0;
  Bytes bytes_;
  std::array<uint8_t, 4> salt_{};
};

// Base of the tests that run over every built-in engine.
class EngineTest : public testing::TestWithParam<const EngineInfo*> {
 protected:
  void SetUp() override {
    if (GetParam()->probe() == 0) GTEST_SKIP() << "engine cannot run on this machine";
    harness_ = std::make_unique<Harness>(GetParam());
  }
  // The suites that the engine under test supports.
  std::vector<Suite> Suites() const {
    std::vector<Suite> all = AllSuites();
    std::erase_if(
        all, [this](const Suite& suite) { return !harness_->Does(suite) || Lacks(suite, {}); });
    return all;
  }
  // True if the engine supports the algorithms but not their lengths; an engine of a card may.
  // Empty keys stand for keys of the suite's lengths.
  bool Lacks(const Suite& suite, Keys keys) const {
    if (keys.key.empty()) keys.key.resize(suite.key_bytes);
    if (keys.auth_key.empty()) keys.auth_key.resize(suite.auth_key_bytes());
    const auto session = harness_->engine()->CreateSession({.cipher = suite.cipher,
                                                            .key = keys.key,
                                                            .auth = suite.auth,
                                                            .auth_key = keys.auth_key,
                                                            .icv_bytes = suite.icv_bytes});
    return !session.has_value() && session.error().code == Errc::kNotSupported;
  }

  std::unique_ptr<Harness> harness_;
};

// The OpenSSL engine in FIPS mode as a row of the table.
inline const EngineInfo kFipsEngine = {
    .name = "openssl_fips",
    .help = "",
    .probe = [] { return 1; },
    .create = [](const EngineOptions&) -> std::unique_ptr<CryptoEngine> {
      for (const EngineInfo* info : BuiltinEngines()) {
        if (info->name == "openssl") return info->create({.fips = true});
      }
      return nullptr;
    },
    .version = nullptr,
};

// An engine without 512-bit registers, as on a CPU that lacks them.
template <const char* kName>
inline constexpr EngineInfo kNarrow = {
    .name = kName,
    .help = "",
    .probe =
        [] {
          for (const EngineInfo* info : BuiltinEngines()) {
            if (std::string_view(kName).starts_with(info->name)) return info->probe();
          }
          return 0;
        },
    .create = [](const EngineOptions&) -> std::unique_ptr<CryptoEngine> {
      for (const EngineInfo* info : BuiltinEngines()) {
        if (std::string_view(kName).starts_with(info->name)) return info->create({.avx512 = false});
      }
      return nullptr;
    },
    .version = nullptr,
};
inline constexpr char kVaesGcmAvx2[] = "vaes_gcm_avx2";
inline constexpr char kIpsecMbAvx2[] = "ipsec_mb_avx2";

inline std::unique_ptr<Harness> ReferenceHarness() {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == "openssl") return std::make_unique<Harness>(info);
  }
  return nullptr;
}

}  // namespace cygnet::test

#ifdef CYGNET_PLUGIN_ENGINES
namespace cygnet::test {
// Engines that are plug-ins, as rows of the table.
std::vector<const EngineInfo*> PluginEngines();
}  // namespace cygnet::test
#define CYGNET_OVER_EVERY_ENGINE(suite_name)                                                     \
  INSTANTIATE_TEST_SUITE_P(Plugin, suite_name, testing::ValuesIn(cygnet::test::PluginEngines()), \
                           [](const auto& engine) { return std::string(engine.param->name); })
#else
#define CYGNET_OVER_EVERY_ENGINE(suite_name)                                                    \
  INSTANTIATE_TEST_SUITE_P(                                                                     \
      Builtin, suite_name,                                                                      \
      testing::ValuesIn(cygnet::BuiltinEngines().begin(), cygnet::BuiltinEngines().end()),      \
      [](const auto& engine) { return std::string(engine.param->name); });                      \
  INSTANTIATE_TEST_SUITE_P(Narrow, suite_name,                                                  \
                           testing::Values(&cygnet::test::kNarrow<cygnet::test::kVaesGcmAvx2>,  \
                                           &cygnet::test::kNarrow<cygnet::test::kIpsecMbAvx2>), \
                           [](const auto& engine) { return std::string(engine.param->name); }); \
  INSTANTIATE_TEST_SUITE_P(Fips, suite_name, testing::Values(&cygnet::test::kFipsEngine),       \
                           [](const auto& engine) { return std::string(engine.param->name); })
#endif
