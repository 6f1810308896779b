// Every engine passes the known-answer tests; an engine with any single fault fails them.
#include "crypto/known_answer.h"

#include <gmock/gmock.h>

#include "crypto/engine_set.h"
#include "crypto/engines/thread_offload.h"
#include "support/engine_conformance.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;

enum class Fault : uint8_t { kNone, kSeal, kIcv, kOpen, kAcceptsForgeries, kNoSession };

// OpenSSL's engine with one fault in one algorithm. It identifies sessions by address.
class FaultyEngine final : public CryptoEngine {
 public:
  FaultyEngine(AlgorithmId id, Fault fault) : inner_(EngineOf("openssl")), id_(id), fault_(fault) {}

  std::string_view name() const override { return "faulty"; }
  bool Supports(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) const override {
    return inner_->Supports(cipher, auth);
  }
  Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) override {
    const bool meant = params.auth != nullptr && params.cipher->id == AlgorithmId::kNullCipher
                           ? params.auth->id == id_
                           : params.cipher->id == id_;
    if (meant && fault_ == Fault::kNoSession) return MakeError(Errc::kNoSpace, "no room");
    auto session = inner_->CreateSession(params);
    if (meant && session) {
      (params.direction == CryptoDirection::kSeal ? seal_ : open_) = session->get();
    }
    return session;
  }
  std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) override {
    return std::make_unique<Queue>(this, inner_->CreateQueue(number));
  }

  static std::unique_ptr<CryptoEngine> EngineOf(std::string_view name) {
    for (const EngineInfo* info : BuiltinEngines()) {
      if (info->name == name) return info->create({});
    }
    return nullptr;
  }

 private:
  class Queue final : public CryptoQueue {
   public:
    Queue(const FaultyEngine* engine, std::unique_ptr<CryptoQueue> inner)
        : engine_(engine), inner_(std::move(inner)) {}
    std::size_t Submit(std::span<CryptoJob> jobs) override {
      const std::size_t n = inner_->Submit(jobs);
      for (CryptoJob& job : jobs.first(n)) {
        const bool sealed = job.session == engine_->seal_;
        const bool opened = job.session == engine_->open_;
        if (sealed && engine_->fault_ == Fault::kSeal) job.text[job.text_length - 1] ^= 0x80;
        if (sealed && engine_->fault_ == Fault::kIcv) *job.icv ^= 0x80;
        if (opened && engine_->fault_ == Fault::kOpen) *job.text ^= 1;
        if (opened && engine_->fault_ == Fault::kAcceptsForgeries) job.status = CryptoStatus::kOk;
      }
      return n;
    }

   private:
    const FaultyEngine* engine_;
    std::unique_ptr<CryptoQueue> inner_;
  };

  const std::unique_ptr<CryptoEngine> inner_;
  const AlgorithmId id_;
  const Fault fault_;
  const CryptoSession* seal_ = nullptr;
  const CryptoSession* open_ = nullptr;
};

std::string FailureWith(const AlgorithmDescriptor& row, Fault fault) {
  FaultyEngine engine(row.id, fault);
  const Status status = RunSelfTest(&engine);
  return status ? "" : status.error().message;
}

class SelfTestTest : public test::EngineTest {};

TEST_P(SelfTestTest, EveryEnginePasses) {
  const Status status = RunSelfTest(harness_->engine());
  EXPECT_TRUE(status) << status.error().message;
}

CYGNET_OVER_EVERY_ENGINE(SelfTestTest);

TEST(SelfTestFaultTest, AFaultyEngineWithoutFaultPasses) {
  EXPECT_EQ(FailureWith(AllAlgorithms()[0], Fault::kNone), "");
}

TEST(SelfTestFaultTest, OneWrongBitInAnyAlgorithmIsFoundAndNamed) {
  for (const AlgorithmDescriptor& row : AllAlgorithms()) {
    if (row.id == AlgorithmId::kNullCipher) continue;
    SCOPED_TRACE(row.name);
    for (const Fault fault : {Fault::kSeal, Fault::kIcv, Fault::kOpen, Fault::kAcceptsForgeries}) {
      // A cipher's ICV comes from its companion, so it cannot be wrong here.
      if (row.kind == AlgorithmKind::kCipher && fault == Fault::kIcv) continue;
      const std::string failure = FailureWith(row, fault);
      EXPECT_THAT(failure, HasSubstr("faulty: self-test of " + std::string(row.name) + " failed"))
          << static_cast<int>(fault);
    }
  }
}

TEST(SelfTestFaultTest, SaysWhatIsWrong) {
  const AlgorithmDescriptor& gcm = *FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))");
  EXPECT_THAT(FailureWith(gcm, Fault::kSeal), HasSubstr("its ciphertext is not the known one"));
  EXPECT_THAT(FailureWith(gcm, Fault::kIcv), HasSubstr("its ICV is not the known one"));
  EXPECT_THAT(FailureWith(gcm, Fault::kOpen), HasSubstr("its plaintext is not the known one"));
  EXPECT_THAT(FailureWith(gcm, Fault::kAcceptsForgeries), HasSubstr("it accepts a forged ICV"));
  EXPECT_THAT(FailureWith(gcm, Fault::kNoSession), HasSubstr("no room"));
}

TEST(SelfTestFaultTest, ADeviceThatIsDownFails) {
  ThreadOffloadEngine engine({});
  engine.SetDown(true);
  const SelfTestOutcome outcome = TestEngine(&engine);
  EXPECT_TRUE(outcome.ran);
  EXPECT_FALSE(outcome.passed());
  EXPECT_THAT(outcome.failure, HasSubstr("thread_offload"));
}

TEST(SelfTestFaultTest, TheSetKeepsTheOutcomes) {
  EngineSet set;
  static constexpr EngineInfo kInfo = {
      .name = "faulty", .help = "", .probe = nullptr, .create = nullptr, .version = nullptr};
  set.Add(&kInfo, std::make_unique<FaultyEngine>(AlgorithmId::kAesCmac, Fault::kIcv));
  set.Add(&kInfo, FaultyEngine::EngineOf("openssl"));
  EXPECT_FALSE(set[0].self_test.ran);
  EXPECT_FALSE(set[0].self_test.passed());
  set.RunSelfTests();
  EXPECT_TRUE(set[0].self_test.ran);
  EXPECT_FALSE(set[0].self_test.passed());
  EXPECT_TRUE(set[1].self_test.passed()) << set[1].self_test.failure;
}

}  // namespace
}  // namespace cygnet
