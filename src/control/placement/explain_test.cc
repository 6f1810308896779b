// Each requirement in its order, the first failure as the reason, and where the SA runs instead.
#include "control/placement/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "device/sim_nic/sim_nic.h"
#include "support/memory_port.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// FIPS mode that approves no algorithm.
class NothingApproved final : public PlacementGate {
 public:
  std::optional<PlacementReason> DenyDevice(const ControlDevice&, uint64_t) const override {
    return std::nullopt;
  }
  std::optional<PlacementReason> DenyEngine(const EngineSet&, uint32_t, uint64_t) const override {
    return std::nullopt;
  }
  std::optional<PlacementReason> DenyAlgorithm(const SaSpec&) const override {
    return PlacementReason{ReasonCode::kFipsAlgorithm, {}};
  }
};

class ExplainTest : public testing::Test {
 protected:
  ExplainTest() {
    query_.device = "nic0";
    query_.aead = "rfc4106(gcm(aes))";
    query_.half = Half::kOutbound;
    context_.device = {.device = &nic_, .ifindex = 7};
    context_.engines = &engines_;
  }
  ExplainReport::Verdict Verdict() const {
    const auto report = ExplainPlacement(query_, context_);
    EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
    return report && !report->verdicts.empty() ? report->verdicts[0] : ExplainReport::Verdict{};
  }
  std::string Reason() const { return Verdict().reason; }
  std::vector<std::string> Failures() const {
    const ExplainReport report = *ExplainPlacement(query_, context_);
    std::vector<std::string> names;
    for (const ExplainRow& row : report.rows) {
      if (!row.ok) names.push_back(row.requirement);
    }
    return names;
  }
  std::string Error() const {
    const auto report = ExplainPlacement(query_, context_);
    return report ? "" : report.error().message;
  }
  void FillTable() {
    const SaSpec spec = test::MakeSpec();
    OffloadHandle handle;
    ASSERT_FALSE(nic_.InstallSa({.spec = spec}, &handle).has_value());
  }

  PacketPools pools_{64, 2};
  EngineSet engines_ = *EngineSet::ForCpu("openssl");
  SimNic nic_{"nic0",  std::make_unique<MemoryPort>("wire0"), 1, &pools_,
              nullptr, SimNicOptions{.sa_limit = 1}};
  NothingApproved nothing_approved_;
  ExplainQuery query_;
  ExplainContext context_;
};

TEST_F(ExplainTest, EveryRequirementHasARowInTheOrderOfTheChecks) {
  const auto report = ExplainPlacement(query_, context_);
  ASSERT_TRUE(report.has_value());
  std::vector<std::string> names;
  for (const ExplainRow& row : report->rows) {
    EXPECT_TRUE(row.ok) << row.requirement;
    EXPECT_EQ(row.direction, "out");
    names.push_back(row.requirement);
  }
  EXPECT_THAT(names, ElementsAre("approved-algorithm", "device", "trust", "enabled", "mode",
                                 "state", "offload-mode", "direction", "sa-mode", "family", "esn",
                                 "encap", "replay-window", "algorithm", "key", "icv", "slots"));
  EXPECT_TRUE(Verdict().offloaded);
  EXPECT_EQ(Verdict().where, "nic0");
  EXPECT_EQ(Reason(), "requested");
}

// Each step adds an obstacle before all the others, which stay.
TEST_F(ExplainTest, FirstObstacleIsTheReason) {
  const std::vector<std::pair<std::function<void()>, std::string>> steps = {
      {[this] { FillTable(); }, "table-full"},
      {[this] { query_.icv_bits = 64; }, "no-capability:icv-64"},
      {[this] { query_.encap = true; }, "no-capability:udp-encapsulation"},
      {[this] { query_.mode = "beet"; }, "no-capability:beet"},
      {[this] { nic_.SetOffloadUp(false); }, "device-down"},
      {[this] { context_.device.allow_crypto = false; }, "mode-not-allowed"},
      {[this] {
         context_.device.away = PlacementReason{ReasonCode::kOperatorDisabled, {}};
       },
       "operator-disabled"},
      {[this] {
         context_.device.denied = PlacementReason{ReasonCode::kNotTrusted, {}};
       },
       "not-trusted"},
      {[this] { context_.gate = &nothing_approved_; }, "fips-algorithm"},
  };
  std::size_t failures = 0;
  for (const auto& [add_obstacle, reason] : steps) {
    add_obstacle();
    EXPECT_THAT(Reason(), testing::StartsWith(reason));
    EXPECT_FALSE(Verdict().offloaded);
    EXPECT_FALSE(Verdict().explanation.empty());
    EXPECT_THAT(Failures(), SizeIs(++failures)) << "the others are listed, too";
  }
}

TEST_F(ExplainTest, SlotsForRekeysAreNotForIt) {
  context_.device.rekey_reserve = 1;
  EXPECT_THAT(Failures(), ElementsAre("slots"));
  EXPECT_THAT(Reason(), testing::StartsWith("rekey-reserve"));
}

TEST_F(ExplainTest, InterfaceWithoutADeviceEndsTheList) {
  context_.device.device = nullptr;
  EXPECT_EQ(Reason(), "no-capability:crypto-offload");
  EXPECT_THAT(Failures(), ElementsAre("crypto-offload"));
}

TEST_F(ExplainTest, FallbackIsTheCpuUnlessTheRequestIsStrict) {
  query_.icv_bits = 64;
  EXPECT_EQ(Verdict().effective, "software");
  EXPECT_EQ(Verdict().where, "openssl");
  query_.offload = PlacementMode::kRequired;
  EXPECT_EQ(Verdict().effective, "refused");
  EXPECT_THAT(Verdict().where, IsEmpty());
  query_.offload = PlacementMode::kCrypto;
  context_.device.mode = PlacementMode::kRequired;
  EXPECT_EQ(Verdict().effective, "refused") << "the device's configuration is strict";
}

TEST_F(ExplainTest, KernelRefusesTfcPaddingToClientsThatAskForCrypto) {
  query_.tfc = true;
  EXPECT_THAT(Failures(), ElementsAre("tfc"));
  EXPECT_EQ(Verdict().effective, "refused");
  query_.offload = PlacementMode::kAuto;
  EXPECT_EQ(Verdict().effective, "software");
}

TEST_F(ExplainTest, ForbiddenAlgorithmRunsNowhere) {
  context_.gate = &nothing_approved_;
  EXPECT_EQ(Verdict().effective, "refused");
}

TEST_F(ExplainTest, NotRequestedComesBeforeEveryObstacle) {
  context_.device.denied = PlacementReason{ReasonCode::kNotTrusted, {}};
  query_.offload = PlacementMode::kNo;
  EXPECT_EQ(Reason(), "not-requested");
  EXPECT_EQ(Verdict().effective, "software");
}

TEST_F(ExplainTest, BothHalvesAreExplainedUnlessOneIsNamed) {
  query_.half.reset();
  FillTable();  // of the outbound half
  const auto report = ExplainPlacement(query_, context_);
  ASSERT_THAT(report->verdicts, SizeIs(2));
  EXPECT_EQ(report->verdicts[0].direction, "out");
  EXPECT_FALSE(report->verdicts[0].offloaded);
  EXPECT_EQ(report->verdicts[1].direction, "in");
  EXPECT_TRUE(report->verdicts[1].offloaded);
}

TEST_F(ExplainTest, QueryThatNamesNoSaIsRefused) {
  query_.aead = "rot13";
  EXPECT_EQ(Error(), "unknown algorithm 'rot13'");
  query_.aead.clear();
  EXPECT_EQ(Error(), "name an AEAD, or a cipher and an authenticator");
  query_.aead = "rfc4106(gcm(aes))";
  query_.key_bits = 100;
  EXPECT_EQ(Error(), "rfc4106(gcm(aes)) does not support keys of 100 bits");
  query_.key_bits = 0;
  query_.icv_bits = 72;
  EXPECT_EQ(Error(), "rfc4106(gcm(aes)) does not support an ICV of 72 bits");
  query_.icv_bits = 0;
  query_.mode = "sideways";
  EXPECT_EQ(Error(), "mode: unknown mode 'sideways'");
}

}  // namespace
}  // namespace cygnet
