// Every engine of the built-in table against the same vectors, damage and random jobs.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "crypto/crypto_engine.h"
#include "support/hex.h"
#include "support/vector_file.h"

namespace cygnet {
namespace {

using test::ToHex;

class EngineConformance : public testing::TestWithParam<const EngineInfo*> {
 protected:
  void SetUp() override {
    if (GetParam()->probe() == 0) GTEST_SKIP() << "engine cannot run on this machine";
    engine_ = GetParam()->create({});
    queue_ = engine_->CreateQueue(0);
    gcm_ = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))");
  }

  std::unique_ptr<CryptoSession> Session(std::span<const uint8_t> key, CryptoDirection direction,
                                         uint8_t icv = 16) {
    std::vector<uint8_t> material(key.begin(), key.end());
    material.insert(material.end(), {0, 0, 0, 0});  // the salt travels in the nonce here
    auto session = engine_->CreateSession(
        {.cipher = gcm_, .key = material, .icv_bytes = icv, .direction = direction});
    EXPECT_TRUE(session.has_value());
    return *std::move(session);
  }

  static CryptoJob Job(CryptoSession* session, std::vector<uint8_t>& text_and_icv, std::size_t icv,
                       std::span<const uint8_t> nonce, std::span<const uint8_t> aad) {
    CryptoJob job;
    job.session = session;
    job.text = text_and_icv.data();
    job.text_length = static_cast<uint32_t>(text_and_icv.size() - icv);
    job.icv = text_and_icv.data() + job.text_length;
    std::copy(nonce.begin(), nonce.end(), job.nonce.begin());
    std::copy(aad.begin(), aad.end(), job.aad.begin());
    job.aad_length = static_cast<uint32_t>(aad.size());
    return job;
  }

  CryptoStatus Run(CryptoJob job) {
    EXPECT_EQ(queue_->Submit({&job, 1}), 1u);
    return job.status;
  }

  std::unique_ptr<CryptoEngine> engine_;
  std::unique_ptr<CryptoQueue> queue_;
  const AlgorithmDescriptor* gcm_ = nullptr;
};

TEST_P(EngineConformance, GcmVectorsSealAndOpen) {
  int run = 0;
  for (const auto& v : test::ReadVectorFile(CYGNET_VECTORS "/aes_gcm.txt")) {
    const auto key = v.Bytes("key");
    const auto nonce = v.Bytes("nonce");
    const auto aad = v.Bytes("aad");
    const auto plain = v.Bytes("plaintext");
    auto sealed = v.Bytes("ciphertext");
    const auto icv = v.Bytes("icv");
    SCOPED_TRACE(v.Text("source"));
    EXPECT_TRUE(v.Unused().empty()) << v.Unused()[0];
    sealed.insert(sealed.end(), icv.begin(), icv.end());
    if (aad.size() > 16) {
      continue;  // longer than any AAD of ESP; the job has no room for it
    }
    ++run;
    std::vector<uint8_t> buffer = plain;
    buffer.resize(plain.size() + icv.size());
    auto seal = Session(key, CryptoDirection::kSeal);
    EXPECT_EQ(Run(Job(seal.get(), buffer, icv.size(), nonce, aad)), CryptoStatus::kOk);
    EXPECT_EQ(ToHex(buffer), ToHex(sealed));
    auto open = Session(key, CryptoDirection::kOpen);
    EXPECT_EQ(Run(Job(open.get(), buffer, icv.size(), nonce, aad)), CryptoStatus::kOk);
    buffer.resize(plain.size());
    EXPECT_EQ(ToHex(buffer), ToHex(plain));
  }
  EXPECT_EQ(run, 9);
}

TEST_P(EngineConformance, TruncatedIcvIsTheFrontOfTheFullOne) {
  const auto key = test::FromHex("feffe9928665731c6d6a8f9467308308");
  const std::vector<uint8_t> nonce(12, 7);
  const std::vector<uint8_t> aad(8, 9);
  auto full_session = Session(key, CryptoDirection::kSeal, 16);
  std::vector<uint8_t> full(100 + 16, 0x5a);
  ASSERT_EQ(Run(Job(full_session.get(), full, 16, nonce, aad)), CryptoStatus::kOk);
  for (const uint8_t icv : {uint8_t{12}, uint8_t{8}}) {
    auto seal = Session(key, CryptoDirection::kSeal, icv);
    auto open = Session(key, CryptoDirection::kOpen, icv);
    std::vector<uint8_t> text(100u + icv, 0x5a);
    ASSERT_EQ(Run(Job(seal.get(), text, icv, nonce, aad)), CryptoStatus::kOk);
    EXPECT_TRUE(std::equal(text.begin(), text.end(), full.begin()));
    EXPECT_EQ(Run(Job(open.get(), text, icv, nonce, aad)), CryptoStatus::kOk);
  }
}

TEST_P(EngineConformance, AnyFlippedBitFailsAndShowsNoPlaintext) {
  const auto key =
      test::FromHex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
  auto seal = Session(key, CryptoDirection::kSeal);
  auto open = Session(key, CryptoDirection::kOpen);
  const std::vector<uint8_t> nonce(12, 1);
  const std::vector<uint8_t> aad(12, 2);
  std::vector<uint8_t> sealed(40 + 16, 0xab);
  ASSERT_EQ(Run(Job(seal.get(), sealed, 16, nonce, aad)), CryptoStatus::kOk);
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::vector<uint8_t> damaged = sealed;
    damaged[bit / 8] = static_cast<uint8_t>(damaged[bit / 8] ^ (1u << (bit % 8)));
    EXPECT_EQ(Run(Job(open.get(), damaged, 16, nonce, aad)), CryptoStatus::kAuthFailed) << bit;
    EXPECT_TRUE(
        std::all_of(damaged.begin(), damaged.begin() + 40, [](uint8_t b) { return b == 0; }));
  }
  std::vector<uint8_t> wrong_aad = aad;
  wrong_aad[3] ^= 1;
  std::vector<uint8_t> copy = sealed;
  EXPECT_EQ(Run(Job(open.get(), copy, 16, nonce, wrong_aad)), CryptoStatus::kAuthFailed);
}

TEST_P(EngineConformance, RandomLengthsAgreeWithTheReferenceEngine) {
  std::unique_ptr<CryptoEngine> reference;
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == "openssl") reference = info->create({});
  }
  ASSERT_NE(reference, nullptr);
  auto reference_queue = reference->CreateQueue(0);
  std::mt19937 random(20161206);
  for (int round = 0; round < 300; ++round) {
    const std::size_t key_bytes = std::array<std::size_t, 3>{16, 24, 32}[random() % 3];
    std::vector<uint8_t> material(key_bytes + 4);
    for (auto& b : material) b = static_cast<uint8_t>(random());
    const SessionParams params{.cipher = gcm_, .key = material, .icv_bytes = 16};
    auto mine = engine_->CreateSession(params);
    auto theirs = reference->CreateSession(params);
    ASSERT_TRUE(mine.has_value() && theirs.has_value());
    const std::size_t length = random() % 9001;
    const std::size_t shift = random() % 64;  // alignment
    std::vector<uint8_t> a(shift + length + 16);
    for (auto& b : a) b = static_cast<uint8_t>(random());
    std::vector<uint8_t> b(a.begin() + static_cast<std::ptrdiff_t>(shift), a.end());
    std::vector<uint8_t> nonce(12);
    for (auto& x : nonce) x = static_cast<uint8_t>(random());
    const std::vector<uint8_t> aad(random() % 2 != 0 ? 8 : 12, 3);
    CryptoJob job_a = Job(mine->get(), a, 16, nonce, aad);
    job_a.text += shift;
    job_a.text_length -= static_cast<uint32_t>(shift);
    CryptoJob job_b = Job(theirs->get(), b, 16, nonce, aad);
    ASSERT_EQ(Run(job_a), CryptoStatus::kOk);
    ASSERT_EQ(reference_queue->Submit({&job_b, 1}), 1u);
    ASSERT_TRUE(std::equal(b.begin(), b.end(), a.begin() + static_cast<std::ptrdiff_t>(shift)))
        << "length " << length;
  }
}

TEST_P(EngineConformance, RefusesWhatTheTableDoesNotAllow) {
  const std::vector<uint8_t> short_key(19);
  const std::vector<uint8_t> good_key(20);
  EXPECT_FALSE(
      engine_->CreateSession({.cipher = gcm_, .key = short_key, .icv_bytes = 16}).has_value());
  EXPECT_FALSE(
      engine_->CreateSession({.cipher = gcm_, .key = good_key, .icv_bytes = 13}).has_value());
}

INSTANTIATE_TEST_SUITE_P(Builtin, EngineConformance,
                         testing::ValuesIn(BuiltinEngines().begin(), BuiltinEngines().end()),
                         [](const auto& engine) { return std::string(engine.param->name); });

}  // namespace
}  // namespace cygnet
