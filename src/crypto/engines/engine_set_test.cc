// Engine selection: preference, fallback per algorithm, look-aside devices by kind.
#include "crypto/engine_set.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

const AlgorithmDescriptor& Aead(std::string_view name) {
  return *FindAlgorithm(AlgorithmKind::kAead, name);
}
const AlgorithmDescriptor& Cipher(std::string_view name) {
  return *FindAlgorithm(AlgorithmKind::kCipher, name);
}
const AlgorithmDescriptor* Auth(std::string_view name) {
  return FindAlgorithm(AlgorithmKind::kAuth, name);
}

const EngineInfo* Info(std::string_view name) {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == name) return info;
  }
  return nullptr;
}

EngineSet CpuSet(std::string_view preferred = {}) {
  auto set = EngineSet::ForCpu(preferred);
  EXPECT_TRUE(set.has_value());
  return *std::move(set);
}

// An engine that supports a single AEAD.
template <AlgorithmId kId>
class OnlyEngine final : public CryptoEngine {
 public:
  std::string_view name() const override { return "only"; }
  bool Supports(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) const override {
    return cipher.id == kId && auth == nullptr;
  }
  Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams&) override {
    return MakeError(Errc::kNotSupported);
  }
  std::unique_ptr<CryptoQueue> CreateQueue(uint32_t) override { return nullptr; }
};

template <AlgorithmId kId, EngineKind kKind>
void AddOnly(EngineSet* set) {
  static constexpr EngineInfo kInfo = {.name = "only",
                                       .help = "",
                                       .kind = kKind,
                                       .probe = [] { return 1; },
                                       .create = nullptr,
                                       .version = nullptr};
  set->Add(&kInfo, std::make_unique<OnlyEngine<kId>>());
}

TEST(EngineSetTest, CpuEnginesThatRunHereBestFirst) {
  const EngineSet set = CpuSet();
  ASSERT_GE(set.size(), 1u);
  for (uint32_t i = 0; i < set.size(); ++i) {
    EXPECT_EQ(set[i].info->kind, EngineKind::kCpu);
    EXPECT_EQ(set.engine(i)->name(), set[i].info->name);
    EXPECT_GT(set[i].info->probe(), 0);
    if (i > 0) {
      EXPECT_LE(set[i].info->probe(), set[i - 1].info->probe());
    }
  }
}

TEST(EngineSetTest, ThePreferredEngineComesFirstAndTheOthersStay) {
  const EngineSet set = CpuSet("openssl");
  EXPECT_EQ(set[0].info->name, "openssl");
  EXPECT_EQ(set.size(), CpuSet().size());
  EXPECT_EQ(set.Find(EngineKind::kCpu, Aead("rfc4106(gcm(aes))"), nullptr), 0u);
}

TEST(EngineSetTest, AnUnknownOrLookAsideNameIsRefused) {
  for (const char* name : {"quantum", "thread_offload", "OpenSSL"}) {
    const auto set = EngineSet::ForCpu(name);
    ASSERT_FALSE(set.has_value());
    EXPECT_EQ(set.error().code, Errc::kNoEntry);
    EXPECT_NE(set.error().message.find(name), std::string::npos);
  }
}

TEST(EngineSetTest, FallsBackPerAlgorithm) {
  EngineSet set;
  AddOnly<AlgorithmId::kAesGcm, EngineKind::kCpu>(&set);
  AddOnly<AlgorithmId::kAesCcm, EngineKind::kCpu>(&set);
  set.Add(Info("openssl"), Info("openssl")->create({}));
  const auto find = [&set](const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) {
    return set.Find(EngineKind::kCpu, cipher, auth);
  };
  EXPECT_EQ(find(Aead("rfc4106(gcm(aes))"), nullptr), 0u);
  EXPECT_EQ(find(Aead("rfc4309(ccm(aes))"), nullptr), 1u);
  EXPECT_EQ(find(Aead("rfc4543(gcm(aes))"), nullptr), 2u);
  EXPECT_EQ(find(Cipher("cbc(aes)"), Auth("xcbc(aes)")), 2u);
  EXPECT_EQ(find(Cipher("cbc(aes)"), nullptr), std::nullopt);
  EXPECT_EQ(find(Aead("rfc4106(gcm(aes))"), Auth("hmac(sha1)")), std::nullopt);
}

// The CPU engines that run here cover the whole table together.
TEST(EngineSetTest, EveryAlgorithmFindsACpuEngine) {
  const EngineSet set = CpuSet();
  for (const AlgorithmDescriptor& cipher : AllAlgorithms()) {
    if (cipher.kind == AlgorithmKind::kAead) {
      EXPECT_TRUE(set.Find(EngineKind::kCpu, cipher, nullptr).has_value()) << cipher.name;
    }
    for (const AlgorithmDescriptor& auth : AllAlgorithms()) {
      if (cipher.kind != AlgorithmKind::kCipher || auth.kind != AlgorithmKind::kAuth) continue;
      EXPECT_TRUE(set.Find(EngineKind::kCpu, cipher, &auth).has_value())
          << cipher.name << " " << auth.name;
    }
  }
}

TEST(EngineSetTest, LookAsideIsFoundByKindOnly) {
  EngineSet set = CpuSet();
  const AlgorithmDescriptor& gcm = Aead("rfc4106(gcm(aes))");
  EXPECT_EQ(set.Find(EngineKind::kLookAside, gcm, nullptr), std::nullopt);
  const auto cpu = set.Find(EngineKind::kCpu, gcm, nullptr);
  const uint32_t number = set.size();
  ASSERT_LT(number, EngineSet::kMaxEngines);
  set.Add(Info("thread_offload"), Info("thread_offload")->create({.queue_depth = 8}));
  EXPECT_EQ(set.Find(EngineKind::kLookAside, gcm, nullptr), number);
  EXPECT_EQ(set.Find(EngineKind::kCpu, gcm, nullptr), cpu);
}

TEST(EngineSetTest, OfTwoLookAsideDevicesTheFirstIsAskedFirst) {
  EngineSet set;
  AddOnly<AlgorithmId::kAesCcm, EngineKind::kLookAside>(&set);
  set.Add(Info("thread_offload"), Info("thread_offload")->create({}));
  EXPECT_EQ(set.Find(EngineKind::kLookAside, Aead("rfc4309(ccm(aes))"), nullptr), 0u);
  EXPECT_EQ(set.Find(EngineKind::kLookAside, Aead("rfc4106(gcm(aes))"), nullptr), 1u);
}

TEST(EngineTableTest, NamesAreUniqueAndEveryEngineSaysWhatItIs) {
  for (const EngineInfo* info : BuiltinEngines()) {
    EXPECT_EQ(Info(info->name), info);
    EXPECT_FALSE(info->help.empty());
    EXPECT_FALSE(info->version().empty());
    if (info->probe() > 0) {
      EXPECT_EQ(info->create({})->name(), info->name);
    }
  }
}

}  // namespace
}  // namespace cygnet
