// The OpenSSL engine in FIPS mode: the conformance suites, what it refuses, and its identity. With
// or without a FIPS provider, its algorithms take a different code path than outside FIPS mode.
#include <gmock/gmock.h>

#include "crypto/engine_set.h"
#include "crypto/known_answer.h"
#include "support/engine_conformance.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;

const EngineInfo& Info(std::string_view name) {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == name) return *info;
  }
  CYGNET_CHECK(false);
}

TEST(FipsEngineTest, DoesWhatIsApprovedAndNothingElse) {
  const auto engine = Info("openssl").create({.fips = true});
  for (const AlgorithmDescriptor& row : AllAlgorithms()) {
    if (row.kind == AlgorithmKind::kAead) {
      EXPECT_EQ(engine->Supports(row, nullptr), row.fips_approved) << row.name;
    }
    for (const AlgorithmDescriptor& auth : AllAlgorithms()) {
      if (row.kind != AlgorithmKind::kCipher || auth.kind != AlgorithmKind::kAuth) continue;
      const bool cipher_may = row.fips_approved || row.id == AlgorithmId::kNullCipher;
      EXPECT_EQ(engine->Supports(row, &auth), cipher_may && auth.fips_approved)
          << row.name << " " << auth.name;
    }
  }
}

TEST(FipsEngineTest, PassesTheKnownAnswerTests) {
  for (const char* name : {"openssl", "thread_offload"}) {
    const auto engine = Info(name).create({.fips = true});
    const Status status = RunSelfTest(engine.get());
    EXPECT_TRUE(status) << status.error().message;
  }
}

TEST(FipsEngineTest, SaysWhoItIsAndWhatIsMissing) {
  const ModuleIdentity plain = Info("openssl").create({})->identity();
  EXPECT_EQ(plain.model, "OpenSSL default provider");
  EXPECT_EQ(plain.version, Info("openssl").version());
  const ModuleIdentity fips = Info("openssl").create({.fips = true})->identity();
  EXPECT_FALSE(fips.version.empty());
  if (fips.model == "OpenSSL FIPS Provider") {
    EXPECT_EQ(fips.advice, "");
  } else {
    EXPECT_EQ(fips.model, "OpenSSL default provider");
    EXPECT_THAT(fips.advice, HasSubstr("/fips.so"));
    EXPECT_THAT(fips.advice, HasSubstr("openssl fipsinstall"));
  }
}

TEST(FipsEngineTest, ALookAsideEngineNamesTheModuleInside) {
  const ModuleIdentity inner = Info("openssl").create({.fips = true})->identity();
  const ModuleIdentity outer = Info("thread_offload").create({.fips = true})->identity();
  EXPECT_EQ(outer.model, "thread_offload");
  EXPECT_EQ(outer.version,
            std::string(CYGNET_VERSION) + " with " + inner.model + " " + inner.version);
  EXPECT_EQ(outer.advice, inner.advice);
  const auto engine = Info("thread_offload").create({.fips = true});
  EXPECT_FALSE(engine->Supports(
      *FindAlgorithm(AlgorithmKind::kAead, "rfc7539esp(chacha20,poly1305)"), nullptr));
}

TEST(FipsEngineTest, IpsecMbSaysItsName) {
  if (Info("ipsec_mb").probe() == 0) GTEST_SKIP() << "cannot run on this machine";
  const ModuleIdentity identity = Info("ipsec_mb").create({})->identity();
  EXPECT_EQ(identity.model, "Intel ipsec-mb");
  EXPECT_EQ(identity.version, Info("ipsec_mb").version());
}

// A queue and sessions may outlive the engine that made them.
TEST(FipsEngineTest, SessionsKeepTheirLibrary) {
  auto engine = Info("openssl").create({.fips = true});
  const AlgorithmDescriptor& gcm = *FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))");
  const std::vector<uint8_t> key(20, 1);
  auto session = engine->CreateSession({.cipher = &gcm, .key = key, .icv_bytes = 16});
  ASSERT_TRUE(session);
  const auto queue = engine->CreateQueue(0);
  engine.reset();
  std::vector<uint8_t> bytes(32);
  CryptoJob job;
  job.session = session->get();
  job.text = bytes.data();
  job.text_length = 16;
  job.icv = bytes.data() + 16;
  EXPECT_EQ(queue->Submit({&job, 1}), 1u);
  EXPECT_EQ(job.status, CryptoStatus::kOk);
}

TEST(FipsEngineTest, ASetOfCpuEnginesPassesTheOptionOn) {
  const auto set = EngineSet::ForCpu("openssl", {.fips = true});
  ASSERT_TRUE(set);
  EXPECT_FALSE(set->engine(0)->Supports(
      *FindAlgorithm(AlgorithmKind::kAead, "rfc7539esp(chacha20,poly1305)"), nullptr));
}

}  // namespace
}  // namespace cygnet
