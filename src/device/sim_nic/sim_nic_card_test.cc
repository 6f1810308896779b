// The software NIC as a card: what it claims and does not do, what a reset leaves, a bond's
// failover, and what its driver shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "device/sim_nic/sim_nic.h"
#include "support/esp_oracle.h"
#include "support/memory_port.h"
#include "support/nic_under_test.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::MakeSpec;
using test::Pattern;
using test::SaOptions;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class SimNicCardTest : public testing::TestWithParam<test::NicPath> {
 protected:
  void Play(const std::string& profile, std::vector<std::string> conditions = {},
            std::vector<std::string> bond_cards = {"ixgbe", "mlx5-crypto"}) {
    auto wire = std::make_unique<MemoryPort>("wire");
    wire_ = wire.get();
    nic_ = std::make_unique<test::NicUnderTest>(
        GetParam(), std::move(wire), &pools_,
        test::NicUnderTest::Setup{.options = {.profile = profile,
                                              .card_conditions = std::move(conditions),
                                              .bond_cards = std::move(bond_cards),
                                              .sa_limit = 8,
                                              .address_limit = 0}});
  }
  // A transport SA that every card takes.
  static SaOptions Plain(uint32_t spi) {
    return {.spi = spi, .mode = SaMode::kTransport, .window = 32};
  }
  std::optional<OffloadHandle> Add(const SaSpec& spec, Half half) {
    OffloadHandle handle;
    if (nic_->InstallSa({spec, half, 0}, &handle).has_value()) return std::nullopt;
    nic_->StartSa(handle);
    return handle;
  }
  // Sends an ESP packet of `spec` in; what the card did with it.
  OffloadStatus Receive(const SaSpec& spec, uint32_t seq) {
    const Bytes frame = test::EspFrame(spec, test::OracleSeal(spec, seq, seq, Pattern(40)));
    wire_->arriving.push_back(test::MakePacket(&pools_, frame));
    nic_->RunOnce();
    PacketBatch batch;
    EXPECT_EQ(nic_->Receive(0, &batch, &sink_), 1u);
    const OffloadStatus status = batch[0]->offload.status;
    sink_.Recycle(batch[0]);
    batch.ReleaseAll();
    return status;
  }
  // Hands an unsealed packet over; true: a sealed one left.
  bool Seal(const SaSpec& spec, OffloadHandle handle) {
    Packet* packet =
        test::MakePacket(&pools_, test::EspFrame(spec, Bytes(16) + Pattern(40) + Bytes(16, 0)));
    packet->offload.esp_offset = 34;
    packet->offload.handle = handle;
    packet->offload.status = OffloadStatus::kSealRequested;
    PacketBatch batch;
    batch.Push(packet);
    nic_->Transmit(0, &batch, &sink_);
    while (nic_->RunOnce() != 0) {
    }
    const bool left = !wire_->sent.empty();
    for (; !wire_->sent.empty(); wire_->sent.pop_front()) test::FreePacket(wire_->sent.front());
    return left;
  }
  // The handle of the outbound SA.
  OffloadHandle SealOneAndOpenOne() {
    Add(in_, Half::kInbound);
    const auto sealing = Add(out_, Half::kOutbound);
    EXPECT_TRUE(Seal(out_, *sealing));
    EXPECT_EQ(Receive(in_, 1), OffloadStatus::kOpened);
    return *sealing;
  }

  const SaSpec in_ = MakeSpec(Plain(0x100));
  const SaSpec out_ = MakeSpec(Plain(0x200));
  PacketPools pools_{2600, 2};
  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
  MemoryPort* wire_ = nullptr;
  std::unique_ptr<test::NicUnderTest> nic_;
};

INSTANTIATE_TEST_SUITE_P(Paths, SimNicCardTest, test::NicPaths(), test::NameOfPath);

// What no driver by others has: see nic_under_test.h.
class SimNicCardDirectTest : public SimNicCardTest {};
INSTANTIATE_TEST_SUITE_P(Paths, SimNicCardDirectTest, testing::Values(test::NicPath::kDirect),
                         test::NameOfPath);

// --- Cards that lie ---

TEST_P(SimNicCardTest, ChelsioTakesAnInboundSaAndOpensNothing) {
  Play("chelsio-t6");
  const SaSpec in = MakeSpec(Plain(0x100));
  const SaSpec out = MakeSpec(Plain(0x200));
  const auto handle = Add(in, Half::kInbound);
  const auto sealing = Add(out, Half::kOutbound);
  ASSERT_TRUE(handle && sealing);
  EXPECT_THAT(nic_->HeldSas(), SizeIs(2)) << "it holds the key";
  EXPECT_EQ(Receive(in, 1), OffloadStatus::kNone) << "the CPU opens it";
  EXPECT_EQ(nic_->offload_stats().opened, 0u);
  EXPECT_TRUE(Seal(out, *sealing));
  const std::vector<SaFinding> findings = nic_->TakeFindings();
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].handle, *handle);
  EXPECT_EQ(findings[0].gap, ClaimGap::kNotUsed);
  EXPECT_THAT(nic_->TakeFindings(), IsEmpty());
}

TEST_P(SimNicCardTest, NfpSaysOkAndTheFirmwareRefuses) {
  Play("nfp");
  ASSERT_TRUE(nic_->InjectFault("add-fail EIO 2").has_value());
  const SaSpec in = MakeSpec(Plain(0x100));
  const SaSpec out = MakeSpec(Plain(0x200));
  const auto opening = Add(in, Half::kInbound);
  const auto sealing = Add(out, Half::kOutbound);
  ASSERT_TRUE(opening && sealing) << "the driver has only queued the adds";
  EXPECT_THAT(nic_->HeldSas(), IsEmpty());
  EXPECT_EQ(Receive(in, 1), OffloadStatus::kNone);
  EXPECT_FALSE(Seal(out, *sealing)) << "never in clear";
  const std::vector<SaFinding> findings = nic_->TakeFindings();
  ASSERT_THAT(findings, SizeIs(2));
  for (const SaFinding& finding : findings) {
    EXPECT_EQ(finding.gap, ClaimGap::kNotHeld);
    EXPECT_THAT(finding.text, HasSubstr("EIO"));
  }
  ASSERT_TRUE(Add(MakeSpec(Plain(0x300)), Half::kOutbound));
  EXPECT_THAT(nic_->HeldSas(), SizeIs(1));
  EXPECT_THAT(nic_->TakeFindings(), IsEmpty());
}

TEST_P(SimNicCardTest, OnlyNfpQueuesItsAdds) {
  Play("ixgbe");
  ASSERT_TRUE(nic_->InjectFault("add-fail EIO").has_value());
  EXPECT_FALSE(Add(MakeSpec(Plain(0x100)), Half::kOutbound).has_value());
}

TEST_P(SimNicCardTest, Mlx5ChecksReplayOnlyWithEsn) {
  const CardProfile& mlx5 = CardProfileNamed("mlx5-packet");
  SaSpec spec = MakeSpec(Plain(0x100));
  const auto lie = [&](Half half, OffloadMode mode) {
    return mlx5.LieAbout(RequestOf(spec, half, mode));
  };
  ASSERT_NE(lie(Half::kInbound, OffloadMode::kPacket), nullptr);
  EXPECT_EQ(lie(Half::kInbound, OffloadMode::kPacket)->gap, ClaimGap::kNoReplayCheck);
  EXPECT_EQ(lie(Half::kInbound, OffloadMode::kCrypto), nullptr) << "the stack checks replay";
  EXPECT_EQ(lie(Half::kOutbound, OffloadMode::kPacket), nullptr);
  spec.flags |= kSaFlagEsn;
  EXPECT_EQ(lie(Half::kInbound, OffloadMode::kPacket), nullptr);
}

// --- A bond ---

TEST_P(SimNicCardTest, TheOtherCardOfABondRefusesInTheLogOnly) {
  Play("bond", {}, {"mlx5-crypto", "ixgbe"});
  SaOptions long_key = Plain(0x200);
  long_key.key_bytes = 32;
  const SaSpec kept = MakeSpec(Plain(0x100));
  const SaSpec lost = MakeSpec(long_key);
  const auto first = Add(kept, Half::kOutbound);
  const auto second = Add(lost, Half::kOutbound);
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(nic_->InjectFault("failover").has_value());
  EXPECT_TRUE(Seal(kept, *first));
  EXPECT_FALSE(Seal(lost, *second));
  EXPECT_THAT(nic_->HeldSas(), SizeIs(1));
  const std::vector<SaFinding> findings = nic_->TakeFindings();
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].handle, *second);
  EXPECT_EQ(findings[0].gap, ClaimGap::kNotHeld);
  EXPECT_THAT(findings[0].text, HasSubstr("ixgbe: Failed to get key data for Tx SA table"));
}

TEST_P(SimNicCardTest, TheActiveCardOfABondAnswers) {
  Play("bond");
  const SaSpec tunnel = MakeSpec({.spi = 0x100, .window = 32});
  OffloadHandle handle;
  EXPECT_EQ(nic_->InstallSa({tunnel, Half::kOutbound, 0}, &handle)->text,
            "ixgbe: Unsupported mode for ipsec offload");
  ASSERT_TRUE(nic_->InjectFault("failover").has_value());
  EXPECT_TRUE(Add(tunnel, Half::kOutbound));
}

TEST_P(SimNicCardTest, ABondOfTwoEqualCardsLosesNothing) {
  Play("bond", {}, {"ixgbe"});
  const SaSpec spec = MakeSpec(Plain(0x100));
  const auto handle = Add(spec, Half::kOutbound);
  ASSERT_TRUE(handle);
  ASSERT_TRUE(nic_->InjectFault("failover").has_value());
  EXPECT_TRUE(Seal(spec, *handle));
  EXPECT_THAT(nic_->TakeFindings(), IsEmpty());
}

TEST_P(SimNicCardTest, OnlyABondFailsOver) {
  Play("ixgbe");
  EXPECT_FALSE(nic_->InjectFault("failover").has_value());
}

// --- Resets, limits, what the driver shows ---

TEST_P(SimNicCardTest, AResetOfIxgbeLosesNoSa) {
  for (const bool lossless : {true, false}) {
    Play(lossless ? "ixgbe" : "mlx5-crypto");
    const SaSpec spec = MakeSpec(Plain(0x100));
    const auto handle = Add(spec, Half::kOutbound);
    ASSERT_TRUE(handle);
    ASSERT_TRUE(nic_->InjectFault("reset 0").has_value());
    EXPECT_EQ(nic_->resets(), lossless ? 0u : 1u);
    EXPECT_THAT(nic_->HeldSas(), SizeIs(lossless ? 1 : 0));
    EXPECT_EQ(Seal(spec, *handle), lossless);
  }
}

TEST_P(SimNicCardTest, AfterACrashAResetLosesThemInAnyCase) {
  Play("ixgbe");
  ASSERT_TRUE(Add(MakeSpec(Plain(0x100)), Half::kOutbound));
  ASSERT_TRUE(nic_->InjectFault("crash").has_value());
  ASSERT_TRUE(nic_->InjectFault("reset 0").has_value());
  EXPECT_EQ(nic_->resets(), 1u);
  EXPECT_THAT(nic_->HeldSas(), IsEmpty());
}

TEST_P(SimNicCardDirectTest, OneTableForBothDirections) {
  Play("netdevsim");
  for (uint32_t spi = 0x100; spi < 0x108; ++spi) {
    ASSERT_TRUE(Add(MakeSpec(Plain(spi)), spi % 2 == 0 ? Half::kInbound : Half::kOutbound));
  }
  OffloadHandle handle;
  const auto refusal = nic_->InstallSa({MakeSpec(Plain(0x200)), Half::kOutbound, 0}, &handle);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->code, Errc::kNoSpace);
  EXPECT_EQ(refusal->text, "netdevsim: No space for SA in Rx table!");
  EXPECT_EQ(refusal->kind, InstallError::kTableFull);
  EXPECT_EQ(nic_->offload_stats().slots_limit, 8u);
}

TEST_P(SimNicCardTest, NetdevsimShowsItsDebugfsTextWithoutKeys) {
  Play("netdevsim");
  ASSERT_TRUE(Add(MakeSpec(Plain(0x100)), Half::kInbound));
  EXPECT_EQ(nic_->DriverView(),
            "SA count=1 tx=0\n"
            "sa[0] rx ipaddr=192.0.2.2\n"
            "sa[0]    spi=0x00000100 proto=0x32 salt=(not shown) crypt=1\n"
            "sa[0]    key=(not shown)\n");
}

TEST_P(SimNicCardTest, IxgbeCountsWrongIcvsToo) {
  Play("ixgbe");
  SealOneAndOpenOne();
  SaSpec other = MakeSpec(Plain(0x100));
  other.aead.key = KeyMaterial(Pattern(other.aead.key.size(), 7));
  EXPECT_EQ(Receive(other, 2), OffloadStatus::kAuthFailed);
  const auto statistics = nic_->Statistics();
  ASSERT_THAT(statistics, SizeIs(2));
  EXPECT_EQ(statistics[0].name, "tx_ipsec");
  EXPECT_EQ(statistics[0].value, 1u);
  EXPECT_EQ(statistics[1].name, "rx_ipsec");
  EXPECT_EQ(statistics[1].value, 2u);
}

TEST_P(SimNicCardTest, Mlx5CountsCryptoOffloadInTheSameStatistics) {
  Play("mlx5-crypto");
  const OffloadHandle sealing = SealOneAndOpenOne();
  nic_->ReleaseSa(sealing);
  EXPECT_FALSE(Seal(out_, sealing));
  std::map<std::string, uint64_t> some;
  for (const DeviceStatistic& s : nic_->Statistics()) {
    if (s.value != 0) some[s.name] = s.value;
  }
  const uint64_t sealed = test::EspFrame(out_, Bytes(16) + Pattern(40) + Bytes(16, 0)).size();
  const uint64_t came = test::EspFrame(in_, test::OracleSeal(in_, 1, 1, Pattern(40))).size();
  const std::map<std::string, uint64_t> expected = {{"ipsec_tx_pkts", 1},
                                                    {"ipsec_tx_bytes", sealed},
                                                    {"ipsec_rx_pkts", 1},
                                                    {"ipsec_rx_bytes", came},
                                                    {"ipsec_tx_drop_no_state", 1}};
  EXPECT_EQ(some, expected);
  Play("mlx5-crypto", {"no-ipsec"});
  EXPECT_THAT(nic_->Statistics(), IsEmpty()) << "its driver has no such part";
}

TEST_P(SimNicCardTest, HandlesAreThoseOfTheDriver) {
  const std::vector<std::pair<std::string, std::string>> first = {
      {"ixgbe", "tx handle=0x00000400 spi=0x00000100 dst=192.0.2.2\n"},
      {"nfp", "tx handle=0x00000001 spi=0x00000100 dst=192.0.2.2\n"},
      {"generic", ""},
  };
  for (const auto& [profile, view] : first) {
    Play(profile);
    ASSERT_TRUE(Add(MakeSpec(Plain(0x100)), Half::kOutbound));
    EXPECT_EQ(nic_->DriverView(), view);
  }
  EXPECT_EQ(CardProfileNamed("netdevsim").HandleOf(Half::kInbound, 2), 0x8000'0002u);
}

TEST_P(SimNicCardTest, NfpOpensEveryKeyLengthOfGcm) {
  Play("nfp");
  uint32_t spi = 0x100;
  for (const std::size_t key : {16u, 24u, 32u}) {
    SaOptions options = Plain(spi++);
    options.key_bytes = key;
    const SaSpec spec = MakeSpec(options);
    ASSERT_TRUE(Add(spec, Half::kInbound)) << key;
    EXPECT_EQ(Receive(spec, 1), OffloadStatus::kOpened) << key;
  }
}

TEST_P(SimNicCardTest, NfpTakesCbcWithHmac) {
  Play("nfp");
  SaSpec spec = MakeSpec(Plain(0x100));
  spec.aead = {};
  spec.pair.Change()->cipher.descriptor = FindAlgorithm(AlgorithmKind::kCipher, "cbc(aes)");
  spec.pair.Change()->cipher.key = KeyMaterial(Pattern(32));
  spec.pair.Change()->auth.descriptor = FindAlgorithm(AlgorithmKind::kAuth, "hmac(sha256)");
  spec.pair.Change()->auth.key = KeyMaterial(Pattern(32));
  spec.pair.Change()->auth.icv_bits = 128;
  for (const CapabilityCheck& check :
       CheckCapabilities(nic_->caps(), spec, Half::kInbound, OffloadMode::kCrypto)) {
    EXPECT_EQ(check.missing, std::nullopt) << check.name;
  }
  EXPECT_TRUE(Add(spec, Half::kInbound));
  EXPECT_THAT(nic_->HeldSas(), SizeIs(1));
}

TEST_P(SimNicCardDirectTest, Mlx5AnswersForPoliciesInItsWords) {
  const auto refusal = [this](const PolicySpec& spec) {
    OffloadPolicyHandle handle;
    return nic_->packet_offload()->AddPolicy({spec}, &handle);
  };
  const Template tmpl = test::TemplateFor(Plain(1));
  PolicySpec spec =
      test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {tmpl, tmpl});
  Play("mlx5-packet");
  ASSERT_NE(nic_->packet_offload(), nullptr);
  EXPECT_EQ(refusal(spec)->text, "mlx5_core: Cannot offload more than one template");
  EXPECT_EQ(refusal(spec)->code, Errc::kInvalid);
  spec.templates.resize(1);
  EXPECT_EQ(refusal(spec), std::nullopt);
  spec.direction = PolicyDirection::kForward;
  EXPECT_EQ(refusal(spec)->text, "mlx5_core: Cannot offload forward policy");
  Play("mlx5-packet", {"eswitch-changing"});
  spec.direction = PolicyDirection::kOut;
  EXPECT_EQ(refusal(spec)->code, Errc::kBusy);
  Play("generic");
  EXPECT_EQ(refusal(spec), std::nullopt);
  Play("mlx5-crypto");
  EXPECT_EQ(nic_->packet_offload(), nullptr);
}

TEST(SimNicConditionsTest, ConfigurationTakesTheConditionsOfItsCardOnly) {
  const DriverInfo& driver = *FindDriver("sim_nic");
  const auto check = [&](const std::string& profile, const std::string& condition) {
    const auto toml = ParseToml(
        "profile = \"" + profile + "\"\ncard_conditions = [\"" + condition + "\"]\n", "f");
    const auto checked = driver.check(*toml);
    return checked ? std::string("taken") : checked.error().message;
  };
  std::size_t taken = 0;
  for (const CardProfile& profile : CardProfiles()) {
    for (const std::string_view word : CardConditionWords()) {
      taken += check(std::string(profile.name), std::string(word)) == "taken" ? 1 : 0;
    }
  }
  EXPECT_GT(taken, CardConditionWords().size()) << "each belongs to a card, some to several";
  EXPECT_THAT(check("nfp", "vf-not-trusted"),
              HasSubstr("the card \"nfp\" does not have \"vf-not-trusted\"; it has "
                        "\"no-memory\", \"firmware-refuses\", \"nfp-3800\""));
  EXPECT_THAT(check("generic", "no-esn"), HasSubstr("nor any other"));
  EXPECT_EQ(check("nfp", "firmware-refuses"), "taken");
  EXPECT_EQ(check("bond", "slave-without-offload"), "taken");
  EXPECT_EQ(check("bond", "no-esn"), "taken") << "of its card mlx5-crypto";
}

}  // namespace
}  // namespace cygnet
