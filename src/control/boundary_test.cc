// The boundary of FIPS mode: who is inside, and the reasons for those outside.
#include "control/boundary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace cygnet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kNow = 1'800'000'000;           // 2027-01-15
constexpr uint64_t kEndOfJanuary = 1'801'440'000;  // 2027-02-01 00:00:00 UTC

BoundaryEntry NicEntry() {
  return {.kind = HolderKind::kDevice,
          .name = "nic0",
          .model = "Acme CX-9",
          .serial = "A17",
          .version = "28.39",
          .certificate = "#4282",
          .expires = kEndOfJanuary};
}

BoundaryEntry EngineEntry() {
  return {.kind = HolderKind::kEngine,
          .model = "OpenSSL FIPS Provider",
          .version = "3.0.9",
          .certificate = "#4282"};
}

HolderIdentity Nic() {
  return IdentityOf("nic0", {.model = "Acme CX-9", .serial = "A17", .firmware = "28.39"});
}

HolderIdentity Openssl() {
  return {.kind = HolderKind::kEngine,
          .name = "openssl",
          .model = "OpenSSL FIPS Provider",
          .version = "3.0.9",
          .self_test = {.ran = true}};
}

Boundary ListOf(std::vector<BoundaryEntry> entries) {
  return {.entries = std::move(entries), .source = "/etc/cygnet/boundary.toml"};
}

std::string TextOf(const std::optional<PlacementReason>& denied) {
  return denied ? denied->Text() : "inside";
}
std::string ExplanationOf(const std::optional<PlacementReason>& denied) {
  return denied ? denied->Explanation() : "inside";
}

TEST(BoundaryTest, WhatIsListedIsInsideAndNothingElse) {
  const Boundary list = ListOf({NicEntry(), EngineEntry()});
  const BoundaryEntry* matched = nullptr;
  EXPECT_EQ(TextOf(DenyByBoundary(list, Nic(), kNow, &matched)), "inside");
  EXPECT_EQ(matched, &list.entries[0]);
  EXPECT_EQ(TextOf(DenyByBoundary(list, Openssl(), kNow, &matched)), "inside");
  EXPECT_EQ(matched, &list.entries[1]);
  HolderIdentity other = Nic();
  other.name = "nic1";
  other.model = "Acme CX-8";
  EXPECT_EQ(TextOf(DenyByBoundary(list, other, kNow, &matched)), "fips-unlisted");
  EXPECT_EQ(matched, nullptr);
  EXPECT_THAT(ExplanationOf(DenyByBoundary(list, other, kNow)),
              HasSubstr("Acme CX-8, serial A17, firmware 28.39, list /etc/cygnet/boundary.toml"));
}

TEST(BoundaryTest, WithoutAListNobodyIsInside) {
  EXPECT_EQ(TextOf(DenyByBoundary({}, Nic(), kNow)), "fips-unlisted");
  EXPECT_EQ(TextOf(DenyByBoundary({}, Openssl(), kNow)), "fips-unlisted");
  EXPECT_EQ(TextOf(DenyByBoundary({}, {}, kNow)), "fips-unlisted");
}

TEST(BoundaryTest, AKindIsNotTheOther) {
  BoundaryEntry entry = EngineEntry();
  entry.kind = HolderKind::kDevice;
  EXPECT_EQ(TextOf(DenyByBoundary(ListOf({entry}), Openssl(), kNow)), "fips-unlisted");
}

TEST(BoundaryTest, EveryFieldHasToBeAsListed) {
  const Boundary list = ListOf({NicEntry()});
  const auto explain = [&](auto change) {
    HolderIdentity nic = Nic();
    change(&nic);
    const auto denied = DenyByBoundary(list, nic, kNow);
    EXPECT_EQ(TextOf(denied), "fips-mismatch");
    return ExplanationOf(denied);
  };
  EXPECT_THAT(explain([](HolderIdentity* nic) { nic->version = "28.40"; }),
              HasSubstr("firmware is '28.40', the list says '28.39' (certificate #4282)"));
  EXPECT_THAT(explain([](HolderIdentity* nic) { nic->serial = "A18"; }),
              HasSubstr("serial is 'A18', the list says 'A17'"));
  EXPECT_THAT(explain([](HolderIdentity* nic) { nic->model = "Acme CX-8"; }),
              HasSubstr("model is 'Acme CX-8', the list says 'Acme CX-9'"));
  EXPECT_THAT(explain([](HolderIdentity* nic) { nic->name = "nic1"; }),
              HasSubstr("name is 'nic1', the list says 'nic0'"));
  const std::string two = explain([](HolderIdentity* nic) { nic->serial = nic->version = ""; });
  EXPECT_THAT(two, HasSubstr("serial is unknown, the list says 'A17'; firmware is unknown"));
}

TEST(BoundaryTest, AnEngineHasAVersionAndNoFirmware) {
  HolderIdentity engine = Openssl();
  engine.version = "3.0.8";
  const std::string text = ExplanationOf(DenyByBoundary(ListOf({EngineEntry()}), engine, kNow));
  EXPECT_THAT(text, HasSubstr("version is '3.0.8', the list says '3.0.9'"));
  EXPECT_THAT(text, Not(HasSubstr("firmware")));
}

// A card behind an engine: the interface of engines does not tell its firmware, and a list that
// asks for it is not satisfied.
TEST(BoundaryTest, UnknownFirmwareIsNotTheOneThatTheListAsksFor) {
  HolderIdentity card = Openssl();
  card.model = "crypto_qat";
  card.serial = "0000:3d:01.0";
  card.version = "DPDK 22.11.4";
  EXPECT_EQ(Describe(card),
            "crypto_qat, serial 0000:3d:01.0, version DPDK 22.11.4, firmware unknown");
  BoundaryEntry entry = EngineEntry();
  entry.model = card.model;
  entry.version = card.version;
  entry.serial = card.serial;
  EXPECT_EQ(DenyByBoundary(ListOf({entry}), card, kNow), std::nullopt);
  entry.firmware = "4.17";
  EXPECT_THAT(ExplanationOf(DenyByBoundary(ListOf({entry}), card, kNow)),
              HasSubstr("firmware is unknown, the list says '4.17'"));
  entry.firmware.clear();
  entry.serial = "0000:3d:02.0";
  EXPECT_THAT(ExplanationOf(DenyByBoundary(ListOf({entry}), card, kNow)),
              HasSubstr("serial is '0000:3d:01.0', the list says '0000:3d:02.0'"));
}

TEST(BoundaryTest, NameAndSerialMayBeLeftOutModelAndVersionMayNot) {
  BoundaryEntry entry = NicEntry();
  entry.name = entry.serial = "";
  EXPECT_EQ(TextOf(DenyByBoundary(ListOf({entry}), Nic(), kNow)), "inside");
  entry.version = "";
  EXPECT_EQ(TextOf(DenyByBoundary(ListOf({entry}), Nic(), kNow)), "fips-mismatch");
  entry.model = "";
  EXPECT_EQ(TextOf(DenyByBoundary(ListOf({entry}), Nic(), kNow)), "fips-unlisted");
}

// A device without an identity must not match fields that an entry leaves out.
TEST(BoundaryTest, NothingDoesNotMatchNothing) {
  const HolderIdentity nobody = IdentityOf("nic0", {});
  EXPECT_EQ(TextOf(DenyByBoundary(ListOf({BoundaryEntry{}}), nobody, kNow)), "fips-unlisted");
  EXPECT_EQ(TextOf(DenyByBoundary(ListOf({{.name = "nic0"}}), nobody, kNow)), "fips-mismatch");
}

TEST(BoundaryTest, AnEntryExpiresAtItsSecond) {
  const Boundary list = ListOf({NicEntry()});
  EXPECT_EQ(TextOf(DenyByBoundary(list, Nic(), kEndOfJanuary - 1)), "inside");
  const BoundaryEntry* matched = nullptr;
  const auto denied = DenyByBoundary(list, Nic(), kEndOfJanuary, &matched);
  EXPECT_EQ(TextOf(denied), "fips-expired");
  EXPECT_EQ(matched, &list.entries[0]);
  EXPECT_THAT(ExplanationOf(denied), HasSubstr("on 2027-01-31, certificate #4282"));
  EXPECT_EQ(TextOf(DenyByBoundary(ListOf({EngineEntry()}), Openssl(), ~uint64_t{0})), "inside");
}

TEST(BoundaryTest, TheEntryThatHoldsIsTakenWhereverItStands) {
  BoundaryEntry old = NicEntry();
  old.expires = kNow;
  BoundaryEntry other = NicEntry();
  other.version = "28.38";
  EXPECT_EQ(TextOf(DenyByBoundary(ListOf({old, other, NicEntry()}), Nic(), kNow)), "inside");
  EXPECT_EQ(TextOf(DenyByBoundary(ListOf({other, old}), Nic(), kNow)), "fips-expired");
}

TEST(BoundaryTest, OfSeveralThatDifferTheNearestIsNamed) {
  BoundaryEntry far = NicEntry();
  far.version = "1";
  far.serial = "B1";
  BoundaryEntry near = NicEntry();
  near.version = "28.38";
  const Boundary list = ListOf({far, near});
  const BoundaryEntry* matched = nullptr;
  const auto denied = DenyByBoundary(list, Nic(), kNow, &matched);
  EXPECT_EQ(matched, &list.entries[1]);
  EXPECT_THAT(ExplanationOf(denied), HasSubstr("the list says '28.38'"));
}

TEST(BoundaryTest, AnEngineMustHavePassedItsSelfTest) {
  const Boundary list = ListOf({EngineEntry(), NicEntry()});
  HolderIdentity engine = Openssl();
  engine.self_test = {};
  EXPECT_EQ(ExplanationOf(DenyByBoundary(list, engine, kNow)),
            "FIPS mode: its known-answer self-test failed: it has not run");
  engine.self_test = {.ran = true, .failure = "openssl: self-test of cbc(aes) failed"};
  const auto denied = DenyByBoundary(list, engine, kNow);
  EXPECT_EQ(TextOf(denied), "fips-selftest-failed");
  EXPECT_THAT(ExplanationOf(denied), HasSubstr("cbc(aes)"));
  HolderIdentity nic = Nic();
  EXPECT_EQ(TextOf(DenyByBoundary(list, nic, kNow)), "inside");
  nic.self_test = {.ran = true, .failure = "its own test"};
  EXPECT_EQ(TextOf(DenyByBoundary(list, nic, kNow)), "fips-selftest-failed");
}

TEST(BoundaryTest, DatesAreLastDays) {
  EXPECT_EQ(ExpiryDate(NicEntry()), "2027-01-31");
  EXPECT_EQ(ExpiryDate(EngineEntry()), "");
}

TEST(BoundaryTest, ModesHaveNames) {
  for (const FipsMode mode : {FipsMode::kAuto, FipsMode::kOn, FipsMode::kOff}) {
    EXPECT_EQ(ParseFipsMode(Name(mode)), mode);
  }
  EXPECT_EQ(ParseFipsMode("yes"), std::nullopt);
  EXPECT_EQ(ParseFipsMode(""), std::nullopt);
}

// --- Algorithms ---

SaAlgorithm Part(AlgorithmKind kind, std::string_view name, std::size_t key_bytes,
                 uint16_t icv_bits) {
  const std::vector<uint8_t> key(key_bytes, 1);
  SaAlgorithm part;
  part.descriptor = FindAlgorithm(kind, name);
  part.key = KeyMaterial(key);
  part.icv_bits = icv_bits;
  return part;
}

SaSpec Pair(std::string_view cipher, std::size_t key, std::string_view auth, std::size_t auth_key,
            uint16_t icv_bits = 96) {
  SaSpec spec;
  spec.pair.Change()->cipher = Part(AlgorithmKind::kCipher, cipher, key, 0);
  spec.pair.Change()->auth = Part(AlgorithmKind::kAuth, auth, auth_key, icv_bits);
  return spec;
}

SaSpec Aead(std::string_view name, std::size_t key, uint16_t icv_bits = 128) {
  SaSpec spec;
  spec.aead = Part(AlgorithmKind::kAead, name, key, icv_bits);
  return spec;
}

TEST(FipsAlgorithmTest, TakesWhatIsApproved) {
  EXPECT_EQ(TextOf(DenyAlgorithm(Aead("rfc4106(gcm(aes))", 20))), "inside");
  EXPECT_EQ(TextOf(DenyAlgorithm(Aead("rfc4106(gcm(aes))", 36, 64))), "inside");
  EXPECT_EQ(TextOf(DenyAlgorithm(Aead("rfc4309(ccm(aes))", 19))), "inside");
  EXPECT_EQ(TextOf(DenyAlgorithm(Aead("rfc4543(gcm(aes))", 20))), "inside");
  for (const char* auth : {"hmac(sha1)", "hmac(sha256)", "hmac(sha384)", "hmac(sha512)"}) {
    EXPECT_EQ(TextOf(DenyAlgorithm(Pair("cbc(aes)", 16, auth, 20))), "inside") << auth;
  }
  EXPECT_EQ(TextOf(DenyAlgorithm(Pair("rfc3686(ctr(aes))", 20, "cmac(aes)", 16))), "inside");
}

TEST(FipsAlgorithmTest, RefusesWhatIsNotAndNamesIt) {
  const auto explain = [](const SaSpec& spec) {
    EXPECT_EQ(TextOf(DenyAlgorithm(spec)), "fips-algorithm");
    return ExplanationOf(DenyAlgorithm(spec));
  };
  EXPECT_THAT(explain(Aead("rfc7539esp(chacha20,poly1305)", 36)), HasSubstr("chacha20"));
  EXPECT_THAT(explain(Pair("cbc(des3_ede)", 24, "hmac(sha256)", 32)), HasSubstr("cbc(des3_ede)"));
  EXPECT_THAT(explain(Pair("cbc(aes)", 16, "xcbc(aes)", 16)), HasSubstr("xcbc(aes)"));
  // It encrypts nothing; GMAC is the approved choice for that.
  EXPECT_THAT(explain(Pair("ecb(cipher_null)", 0, "hmac(sha256)", 32)), HasSubstr("cipher_null"));
}

TEST(FipsAlgorithmTest, HmacKeysHaveAtLeast112Bits) {
  EXPECT_EQ(TextOf(DenyAlgorithm(Pair("cbc(aes)", 16, "hmac(sha256)", 14))), "inside");
  EXPECT_THAT(ExplanationOf(DenyAlgorithm(Pair("cbc(aes)", 16, "hmac(sha256)", 13))),
              HasSubstr("hmac(sha256) with a key of 104 bits"));
}

TEST(FipsAlgorithmTest, IcvsHaveAtLeast32Bits) {
  EXPECT_EQ(TextOf(DenyAlgorithm(Pair("cbc(aes)", 16, "hmac(sha1)", 20, 32))), "inside");
  EXPECT_THAT(ExplanationOf(DenyAlgorithm(Pair("cbc(aes)", 16, "hmac(sha1)", 20, 24))),
              HasSubstr("an ICV of 24 bits"));
}

// --- The software module ---

class ScriptedEngine final : public CryptoEngine {
 public:
  explicit ScriptedEngine(ModuleIdentity identity) : identity_(std::move(identity)) {}
  std::string_view name() const override { return "openssl"; }
  ModuleIdentity identity() const override { return identity_; }
  bool Supports(const AlgorithmDescriptor&, const AlgorithmDescriptor*) const override {
    return false;
  }
  Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams&) override {
    return MakeError(Errc::kNotSupported);
  }
  std::unique_ptr<CryptoQueue> CreateQueue(uint32_t) override { return nullptr; }

 private:
  const ModuleIdentity identity_;
};

EngineSet SetOf(EngineKind kind, ModuleIdentity identity) {
  static constexpr EngineInfo kCpuInfo = {
      .name = "openssl", .help = "", .probe = nullptr, .create = nullptr, .version = nullptr};
  static constexpr EngineInfo kAsideInfo = {.name = "openssl",
                                            .help = "",
                                            .kind = EngineKind::kLookAside,
                                            .probe = nullptr,
                                            .create = nullptr,
                                            .version = nullptr};
  EngineSet set;
  set.Add(kind == EngineKind::kCpu ? &kCpuInfo : &kAsideInfo,
          std::make_unique<ScriptedEngine>(std::move(identity)));
  set.RunSelfTests();
  return set;
}

TEST(SoftwareModuleTest, AListedOneWillDo) {
  const EngineSet set = SetOf(EngineKind::kCpu, {"OpenSSL FIPS Provider", "3.0.9"});
  EXPECT_TRUE(CheckSoftwareModule(ListOf({EngineEntry()}), set, kNow));
}

TEST(SoftwareModuleTest, ALookAsideDeviceIsNone) {
  const EngineSet set = SetOf(EngineKind::kLookAside, {"OpenSSL FIPS Provider", "3.0.9"});
  const Status status = CheckSoftwareModule(ListOf({EngineEntry()}), set, kNow);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("none runs here"));
}

TEST(SoftwareModuleTest, AMissingOneIsNamedWithWhatToDo) {
  const EngineSet set =
      SetOf(EngineKind::kCpu, {.model = "OpenSSL default provider",
                               .version = "3.0.19",
                               .advice = "the FIPS provider was not found (/m/fips.so): install"});
  const Status status = CheckSoftwareModule(ListOf({EngineEntry()}), set, kNow);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kPermission);
  EXPECT_EQ(status.error().message,
            "FIPS mode is on and no software crypto module is inside the boundary: openssl is "
            "'OpenSSL default provider 3.0.19' (not on the list /etc/cygnet/boundary.toml); the "
            "FIPS provider was not found (/m/fips.so): install, or list the module");
  EXPECT_THAT(CheckSoftwareModule({}, set, kNow).error().message,
              HasSubstr("(and no boundary list is configured)"));
}

TEST(SoftwareModuleTest, AnotherVersionIsNamed) {
  const EngineSet set = SetOf(EngineKind::kCpu, {"OpenSSL FIPS Provider", "3.0.8"});
  EXPECT_THAT(CheckSoftwareModule(ListOf({EngineEntry()}), set, kNow).error().message,
              HasSubstr("(version is '3.0.8', the list says '3.0.9' (certificate #4282)); list"));
}

}  // namespace
}  // namespace cygnet
