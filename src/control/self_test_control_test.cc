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
    last = explanation;
  }
  void GuardHit(const std::string&, const std::string&, uint64_t) override {}
  void Fips(const FipsRow&) override {}
  std::vector<std::string> notes;
  std::string last;
};

struct Notes {
  AuditNotes audit_;
};

class SelfTestControlTest : protected Notes, public ControlPlaneTest {
 protected:
  SelfTestControlTest()
      : ControlPlaneTest(8, PlacementMode::kCrypto,
                         [this](ControlPlaneParams* params) { params->audit = &audit_; }) {}
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

}  // namespace
}  // namespace cygnet
