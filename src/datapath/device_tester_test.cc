// The self-test over a real software NIC, and over one that does single things wrongly.
#include "datapath/device_tester.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "device/sim_nic/sim_nic.h"
#include "support/memory_port.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using testing::AnyOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr uint32_t kMtu = 1500;

// A software NIC whose loopback lies about the SAs that `about` names. Only its loopback is used.
class Liar final : public OffloadDevice, public Loopback {
 public:
  using About = std::function<bool(const OffloadSa&)>;
  enum class Lie : uint8_t {
    kNone,
    kWrongBytes,  // a bit of the result is wrong
    kTrustsIcv,   // wrong ICVs are accepted
    kForgets,     // no packet is remembered
    kRefuses,     // good packets are refused
    kTouches,     // bytes change although it hands the packet back
    kDiesMidway,
  };

  explicit Liar(std::string_view profile = "generic")
      : nic_("nic0", std::make_unique<MemoryPort>("wire0"), 1, &pools_, nullptr,
             SimNicOptions{.profile = std::string(profile)}),
        caps_(nic_.caps()) {}
  void Set(Lie lie, About about) {
    lie_ = lie;
    about_ = std::move(about);
  }
  OffloadCaps& mutable_caps() {
    nic_.set_caps(caps_);
    return caps_;
  }
  SimNic& nic() { return nic_; }

  Status Loop(const OffloadSa& sa, std::span<Packet* const> packets,
              std::span<DropReason> drops) override {
    const bool lies = about_ && about_(sa);
    if (lies && lie_ == Lie::kDiesMidway) return MakeError(Errc::kNetworkDown, "down");
    if (!lies || lie_ != Lie::kForgets) {
      const Status done = nic_.Loop(sa, packets, drops);
      if (done && lies) Spoil(packets, drops);
      return done;
    }
    for (std::size_t i = 0; i < packets.size(); ++i) {
      if (Status done = nic_.Loop(sa, packets.subspan(i, 1), drops.subspan(i, 1)); !done)
        return done;
    }
    return {};
  }

  std::string_view device_name() const override { return "nic0"; }
  DeviceIdentity identity() const override { return nic_.identity(); }
  const OffloadCaps& caps() const override { return caps_; }
  DeviceState state() const override { return nic_.state(); }
  uint32_t resets() const override { return nic_.resets(); }
  void SetBell(Doorbell*) override {}
  std::optional<DeviceRefusal> InstallSa(const OffloadSa&, OffloadHandle*) override { return {}; }
  void StartSa(OffloadHandle) override {}
  void StopSa(OffloadHandle) override {}
  void ReleaseSa(OffloadHandle) override {}
  std::vector<OffloadHandle> TakeErased() override { return {}; }
  OffloadStats offload_stats() const override { return {}; }
  void AdvanceEsn(OffloadHandle, uint64_t) override {}
  void FilterEligible(std::span<Packet* const>, std::span<bool>) override {}
  Loopback* loopback() override { return this; }

 private:
  void Spoil(std::span<Packet* const> packets, std::span<DropReason> drops) {
    for (std::size_t i = 0; i < packets.size(); ++i) {
      Packet& packet = *packets[i];
      OffloadStatus& status = packet.offload.status;
      switch (lie_) {
        case Lie::kWrongBytes:
          packet.data()[packet.length - 1] ^= 1;
          break;
        case Lie::kTrustsIcv:
          if (status == OffloadStatus::kAuthFailed) status = OffloadStatus::kOpened;
          break;
        case Lie::kRefuses:
          status = OffloadStatus::kAuthFailed;
          break;
        case Lie::kTouches:
          status = IsOutbound(status) ? OffloadStatus::kReturned : OffloadStatus::kNone;
          break;
        default:
          drops[i] = DropReason::kNone;
      }
    }
  }
  static bool IsOutbound(OffloadStatus status) { return status == OffloadStatus::kSealed; }

  PacketPools pools_{64, 2};
  SimNic nic_;
  OffloadCaps caps_;
  Lie lie_ = Lie::kNone;
  About about_;
};
using Lie = Liar::Lie;

class DeviceTesterTest : public testing::Test {
 protected:
  DeviceSelfTest Test(OffloadDevice* device) { return TestDevice(device, engines_, kMtu); }
  std::vector<std::string> Withdrawn(Liar* liar) {
    result_ = Test(liar);
    EXPECT_TRUE(result_.ran) << result_.not_tested;
    std::vector<std::string> names;
    for (const WithdrawnCapability& w : result_.withdrawn) {
      names.push_back(w.name);
      EXPECT_THAT(w.proof.sent, Not(IsEmpty())) << w.text;
    }
    return names;
  }
  using Names = std::vector<std::string>;

  EngineSet engines_ = *EngineSet::ForCpu("");
  DeviceSelfTest result_;
};

TEST_F(DeviceTesterTest, EveryProfileOfTheSoftwareNicPasses) {
  for (const CardProfile& profile : CardProfiles()) {
    Liar honest(profile.name);
    EXPECT_EQ(Withdrawn(&honest), Names{})
        << profile.name << ": " << (result_.withdrawn.empty() ? "" : result_.withdrawn[0].text);
    EXPECT_LT(result_.packets, 2000u) << profile.name;
    EXPECT_GT(result_.packets, 150u) << profile.name;
    RecordProperty(std::string(profile.name) + "_packets", static_cast<int>(result_.packets));
    RecordProperty(std::string(profile.name) + "_us", static_cast<int>(result_.took_us));
  }
}

TEST_F(DeviceTesterTest, DeviceWithoutLoopbackIsNotTested) {
  class Silent final : public OffloadDevice {
   public:
    explicit Silent(Liar* liar) : liar_(*liar) {}
    std::string_view device_name() const override { return "nic0"; }
    DeviceIdentity identity() const override { return {}; }
    const OffloadCaps& caps() const override { return liar_.caps(); }
    DeviceState state() const override { return DeviceState::kUp; }
    uint32_t resets() const override { return 0; }
    void SetBell(Doorbell*) override {}
    std::optional<DeviceRefusal> InstallSa(const OffloadSa&, OffloadHandle*) override { return {}; }
    void StartSa(OffloadHandle) override {}
    void StopSa(OffloadHandle) override {}
    void ReleaseSa(OffloadHandle) override {}
    std::vector<OffloadHandle> TakeErased() override { return {}; }
    OffloadStats offload_stats() const override { return {}; }
    void AdvanceEsn(OffloadHandle, uint64_t) override {}
    void FilterEligible(std::span<Packet* const>, std::span<bool>) override {}

   private:
    Liar& liar_;
  };
  Liar liar;
  Silent silent(&liar);
  const DeviceSelfTest result = Test(&silent);
  EXPECT_FALSE(result.ran);
  EXPECT_EQ(result.not_tested, "the device has no loopback");
  EXPECT_TRUE(result.caps.esn) << "it is used as it claims";
}

// --- Features ---

TEST_F(DeviceTesterTest, WrongFeatureIsWithdrawnAlone) {
  struct Row {
    const char* name;
    Liar::About about;
  };
  const Row rows[] = {
      {"esn", [](const OffloadSa& sa) { return sa.spec.esn(); }},
      {"tunnel", [](const OffloadSa& sa) { return sa.spec.mode == SaMode::kTunnel; }},
      {"transport", [](const OffloadSa& sa) { return sa.spec.mode == SaMode::kTransport; }},
      {"ipv6", [](const OffloadSa& sa) { return sa.spec.family == IpFamily::kV6; }},
      {"ipv4", [](const OffloadSa& sa) { return sa.spec.family == IpFamily::kV4; }},
      {"packet-udp-encapsulation", [](const OffloadSa& sa) { return sa.spec.encap.has_value(); }},
  };
  for (const Row& row : rows) {
    Liar liar;
    liar.Set(Lie::kWrongBytes, row.about);
    EXPECT_EQ(Withdrawn(&liar), Names{row.name});
  }
  EXPECT_FALSE(result_.caps.packet_udp_encap);
  EXPECT_TRUE(result_.caps.esn);
}

TEST_F(DeviceTesterTest, BeetAndUdpEncapsulationInCryptoOffload) {
  Liar liar("netdevsim");
  liar.Set(Lie::kRefuses, [](const OffloadSa& sa) { return sa.spec.mode == SaMode::kBeet; });
  EXPECT_EQ(Withdrawn(&liar), Names{"beet"});
  Liar other("netdevsim");
  other.Set(Lie::kWrongBytes, [](const OffloadSa& sa) { return sa.spec.encap.has_value(); });
  EXPECT_EQ(Withdrawn(&other), Names{"udp-encapsulation"});
}

TEST_F(DeviceTesterTest, HighWordThatIsNotCoveredCostsEsn) {
  Liar liar;
  liar.Set(Lie::kTrustsIcv, [](const OffloadSa& sa) { return sa.spec.esn(); });
  EXPECT_EQ(Withdrawn(&liar), Names{"esn"});
  EXPECT_THAT(result_.withdrawn[0].text, HasSubstr("accepts a wrong ICV"));
}

TEST_F(DeviceTesterTest, ReplayThatPassesCostsTheReplayCheck) {
  Liar liar;
  liar.Set(Lie::kForgets, [](const OffloadSa& sa) {
    return IsInbound(sa.half) && sa.mode == OffloadMode::kPacket;
  });
  EXPECT_EQ(Withdrawn(&liar), Names{"replay-check"});
  EXPECT_THAT(result_.withdrawn[0].text, HasSubstr("replayed packet"));
  EXPECT_THAT(result_.withdrawn[0].proof.expected, IsEmpty());
  EXPECT_THAT(result_.withdrawn[0].proof.got, Not(IsEmpty()));
}

// --- Algorithms, lengths, directions, modes ---

TEST_F(DeviceTesterTest, WrongAlgorithmIsWithdrawnAlone) {
  for (const CardProfile& profile : CardProfiles()) {
    for (const std::string_view name : profile.caps.algorithms) {
      if (name == "rfc7539esp(chacha20,poly1305)") continue;  // only the NFP-3800 takes it
      Liar liar(profile.name);
      liar.Set(Lie::kWrongBytes, [name](const OffloadSa& sa) {
        const AlgorithmDescriptor* auth = sa.spec.pair->auth.descriptor;
        return sa.spec.encryption().descriptor->name == name ||
               (auth != nullptr && auth->name == name);
      });
      EXPECT_EQ(Withdrawn(&liar), Names{std::string(name)}) << profile.name;
      EXPECT_THAT(result_.caps.algorithms, Not(Contains(name)));
    }
  }
}

TEST_F(DeviceTesterTest, WrongLengthIsWithdrawnAlone) {
  Liar keys;
  keys.Set(Lie::kWrongBytes, [](const OffloadSa& sa) { return sa.spec.aead.key.size() == 32 + 4; });
  EXPECT_EQ(Withdrawn(&keys), Names{"key-256"});
  EXPECT_EQ(result_.caps.key_bytes, std::vector<uint16_t>{16});
  Liar icvs("chelsio-t6");
  icvs.Set(Lie::kWrongBytes, [](const OffloadSa& sa) { return sa.spec.aead.icv_bits == 96; });
  EXPECT_EQ(Withdrawn(&icvs), Names{"icv-96"});
}

TEST_F(DeviceTesterTest, DirectionThatNeverWorksIsWithdrawn) {
  Liar liar;
  liar.Set(Lie::kTrustsIcv, [](const OffloadSa& sa) { return IsInbound(sa.half); });
  EXPECT_EQ(Withdrawn(&liar), Names{"crypto-offload"}) << "packet offload drops the forged";
  Liar inbound;
  inbound.Set(Lie::kWrongBytes, [](const OffloadSa& sa) { return IsInbound(sa.half); });
  EXPECT_EQ(Withdrawn(&inbound), Names{"inbound"});
  EXPECT_TRUE(result_.caps.outbound);
}

TEST_F(DeviceTesterTest, ModeThatNeverWorksIsWithdrawn) {
  Liar liar;
  liar.Set(Lie::kWrongBytes, [](const OffloadSa& sa) { return sa.mode == OffloadMode::kPacket; });
  EXPECT_EQ(Withdrawn(&liar), Names{"packet-offload"});
  EXPECT_TRUE(result_.caps.crypto_offload);
}

TEST_F(DeviceTesterTest, NothingWorks) {
  Liar liar;
  liar.Set(Lie::kWrongBytes, [](const OffloadSa&) { return true; });
  EXPECT_EQ(Withdrawn(&liar), Names{"rfc4106(gcm(aes))"});
  EXPECT_THAT(result_.caps.algorithms, IsEmpty());
}

TEST_F(DeviceTesterTest, UntouchedPacketsMustBeUntouched) {
  Liar liar("cn10k");
  liar.Set(Lie::kTouches, [](const OffloadSa&) { return true; });
  EXPECT_EQ(Withdrawn(&liar), Names{"rfc4106(gcm(aes))"});
  EXPECT_THAT(result_.withdrawn[0].text, HasSubstr("changes a packet that it hands back"));
}

TEST_F(DeviceTesterTest, DeviceThatGoesDownIsNotTested) {
  Liar liar;
  liar.Set(Lie::kDiesMidway, [](const OffloadSa& sa) { return sa.spec.esn(); });
  const DeviceSelfTest result = Test(&liar);
  EXPECT_FALSE(result.ran);
  EXPECT_THAT(result.not_tested, HasSubstr("went down"));
}

TEST_F(DeviceTesterTest, ProofShowsWhatWasSentExpectedAndCame) {
  Liar liar;
  liar.Set(Lie::kWrongBytes, [](const OffloadSa& sa) { return sa.spec.esn(); });
  EXPECT_EQ(Withdrawn(&liar), Names{"esn"});
  const SelfTestProof& proof = result_.withdrawn[0].proof;
  ASSERT_EQ(proof.expected.size(), proof.got.size());
  EXPECT_EQ(proof.expected.back() ^ proof.got.back(), 1);
  EXPECT_THAT(result_.withdrawn[0].text,
              HasSubstr("crypto offload outbound, rfc4106(gcm(aes)) key-128 icv-128, transport "
                        "ipv4, esn: what it seals is not what the CPU seals"));
}

}  // namespace
}  // namespace cygnet
