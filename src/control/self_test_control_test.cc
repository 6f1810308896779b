// The self-test of a device under the control plane: before any SA, after each reset, and what is
// withdrawn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/control_plane_fixture.h"

namespace cygnet {
namespace {

using test::ControlPlaneTest;
using test::kNic0;
using test::MakeSpec;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class AuditNotes final : public DeviceAudit {
 public:
  void Device(const std::string& name, const std::string& state,
              const std::string& explanation) override {
    notes.push_back(name + " " + state);
    if (state.starts_with("withdrawn:")) withdrawn = explanation;
  }
  void GuardHit(const std::string&, const std::string&, uint64_t) override {}
  void Fips(const FipsRow&) override {}
  void WrongPackets(const std::string&, Half, uint64_t, const std::string&,
                    const std::string&) override {}
  std::vector<std::string> notes;
  std::string withdrawn;  // why, the last time
};

class Evidence final : public EvidenceStore {
 public:
  Result<std::string> Keep(const std::string&, std::span<const ShadowEvidence>) override {
    return MakeError(Errc::kIo, "nothing is verified here");
  }
  Result<std::string> Keep(const std::string& device,
                           std::span<const WithdrawnCapability> withdrawn) override {
    if (full) return MakeError(Errc::kIo, "the disk is full");
    for (const WithdrawnCapability& capability : withdrawn) kept.push_back(capability.name);
    return "/var/lib/" + device;
  }
  std::vector<std::string> kept;
  bool full = false;
};

struct Notes {
  AuditNotes audit_;
  Evidence evidence_;
};

class SelfTestControlTest : protected Notes, public ControlPlaneTest {
 protected:
  SelfTestControlTest()
      : ControlPlaneTest(8, PlacementMode::kCrypto, [this](ControlPlaneParams* params) {
          params->audit = &audit_;
          params->evidence = &evidence_;
        }) {}
  static SaSpec Offloaded(uint32_t spi, uint8_t flags, OffloadMode mode = OffloadMode::kCrypto) {
    return MakeSpec({.spi = spi,
                     .mode = SaMode::kTransport,
                     .flags = flags,
                     .offload = OffloadRequest{mode, kNic0, false}});
  }
  DeviceReport Report() { return control_->ReportDevices().at(0); }
  void Reset() {
    ASSERT_TRUE(nic_.InjectFault("reset 0"));
    Settle();
  }
};

TEST_F(SelfTestControlTest, RunsOnAttachAndLeavesNoTrace) {
  EXPECT_TRUE(Report().self_test.ran);
  EXPECT_GT(Report().self_test.packets, 200u);
  EXPECT_THAT(Report().self_test.withdrawn, IsEmpty());
  const OffloadStats stats = nic_.offload_stats();
  EXPECT_EQ(stats.sealed + stats.opened + stats.auth_failed + stats.passed_unknown, 0u);
  EXPECT_EQ(stats.slots_high_water, 0u);
  EXPECT_THAT(nic_.KeyLog(), IsEmpty());
  EXPECT_THAT(control_->ReportLedger({}).keys, IsEmpty());
}

TEST_F(SelfTestControlTest, OneShotFaultsWaitForPacketsOfClients) {
  ASSERT_TRUE(nic_.InjectFault("skip-seal 3"));
  Reset();
  EXPECT_THAT(Report().self_test.withdrawn, IsEmpty());
}

TEST_F(SelfTestControlTest, HonestDeviceGetsItsSasBackAfterAReset) {
  ASSERT_TRUE(control_->AddSa(Offloaded(0x100, kSaFlagEsn), {}));
  Reset();
  EXPECT_EQ(Where(0x100), "crypto returned");
  EXPECT_THAT(audit_.notes, ElementsAre("nic0 up"));
}

TEST_F(SelfTestControlTest, WithdrawnCapabilityCostsOnlyTheSasThatNeedIt) {
  ASSERT_TRUE(control_->AddSa(Offloaded(0x100, kSaFlagEsn), {}));
  ASSERT_TRUE(control_->AddSa(Offloaded(0x101, 0), {}));
  ASSERT_EQ(Where(0x100), "crypto requested");
  ASSERT_TRUE(nic_.InjectFault("lie esn"));
  Reset();
  EXPECT_EQ(Where(0x100), "software withdrawn:esn");
  EXPECT_EQ(Where(0x101), "crypto returned");
  const DeviceReport report = Report();
  ASSERT_EQ(report.self_test.withdrawn.size(), 1u);
  EXPECT_EQ(report.self_test.withdrawn[0].name, "esn");
  EXPECT_FALSE(report.caps.esn);
  EXPECT_TRUE(nic_.caps().esn) << "it still claims it";
  EXPECT_THAT(audit_.notes, testing::Contains("nic0 withdrawn:esn"));

  // It stays honest about the rest, and gets the SA back when it has learnt it.
  ASSERT_TRUE(nic_.InjectFault("lie none"));
  Reset();
  EXPECT_EQ(Where(0x100), "crypto returned");
}

TEST_F(SelfTestControlTest, PacketsThatProveItAreKeptOnceAndAuditNamesTheFile) {
  ASSERT_TRUE(nic_.InjectFault("lie esn"));
  for (int i = 0; i < 3; ++i) {
    Reset();
    EXPECT_THAT(audit_.withdrawn, HasSubstr("; evidence: /var/lib/nic0"));
    EXPECT_EQ(Report().self_test.evidence, "/var/lib/nic0");
  }
  EXPECT_THAT(evidence_.kept, ElementsAre("esn"));
  ASSERT_TRUE(nic_.InjectFault("lie none"));
  Reset();
  EXPECT_EQ(Report().self_test.evidence, "");
  evidence_.full = true;
  ASSERT_TRUE(nic_.InjectFault("lie esn"));
  Reset();
  EXPECT_THAT(audit_.withdrawn, HasSubstr("; evidence: not kept: the disk is full"));
}

TEST_F(SelfTestControlTest, RequestThatNeedsItIsRefusedWithTheReason) {
  ASSERT_TRUE(nic_.InjectFault("lie esn"));
  Reset();
  const Status packet = control_->AddSa(Offloaded(0x100, kSaFlagEsn, OffloadMode::kPacket), {});
  ASSERT_FALSE(packet);
  EXPECT_EQ(packet.error().code, Errc::kNotSupported);
  EXPECT_THAT(packet.error().message, HasSubstr("withdrawn:esn: the self-test of esn failed"));
  ASSERT_TRUE(control_->AddSa(Offloaded(0x101, kSaFlagEsn), {})) << "crypto offload falls back";
  EXPECT_EQ(Where(0x101), "software withdrawn:esn");
}

TEST_F(SelfTestControlTest, EachLieIsFound) {
  for (const char* lie :
       {"esn", "transport", "tunnel", "ipv4", "ipv6", "key-256", "key-128", "rfc4106(gcm(aes))",
        "packet-offload", "crypto-offload", "inbound", "outbound", "replay", "udp-encapsulation"}) {
    ASSERT_TRUE(nic_.InjectFault(std::string("lie ") + lie));
    Reset();
    const std::string name = lie == std::string("replay")              ? "replay-check"
                             : lie == std::string("udp-encapsulation") ? "packet-udp-encapsulation"
                                                                       : lie;
    const auto withdrawn = Report().self_test.withdrawn;
    ASSERT_EQ(withdrawn.size(), 1u) << lie;
    EXPECT_EQ(withdrawn[0].name, name) << withdrawn[0].text;
    ASSERT_TRUE(nic_.InjectFault("lie none"));
  }
}

TEST_F(SelfTestControlTest, EnablingTestsAgain) {
  ASSERT_TRUE(nic_.InjectFault("lie esn"));
  EXPECT_THAT(Report().self_test.withdrawn, IsEmpty()) << "nothing has asked since";
  ASSERT_TRUE(control_->SetOffloadEnabled("nic0", false));
  ASSERT_TRUE(control_->SetOffloadEnabled("nic0", true));
  EXPECT_EQ(Report().self_test.withdrawn.size(), 1u);
}

TEST_F(SelfTestControlTest, ClientFasterThanTheBellStillFindsATestedDevice) {
  ASSERT_TRUE(nic_.InjectFault("lie esn"));
  ASSERT_TRUE(nic_.InjectFault("reset 0"));  // nobody has answered the bell
  ASSERT_TRUE(control_->AddSa(Offloaded(0x100, kSaFlagEsn), {}));
  EXPECT_EQ(Where(0x100), "software withdrawn:esn");
  ASSERT_TRUE(control_->AddSa(Offloaded(0x101, 0), {}));
  EXPECT_EQ(Where(0x101), "crypto requested");
}

}  // namespace
}  // namespace cygnet
