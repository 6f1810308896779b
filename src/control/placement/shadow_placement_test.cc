// Shadow verification and placement: a device that is caught at a wrong packet is left, the packets
// are kept as evidence, and an operator may try it again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/placement/placement.h"
#include "support/esp_oracle.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::Pattern;
using test::SaOptions;
using test::TestHost;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class Listener final : public PlacementListener {
 public:
  void OnEntering(const SaPtr&, std::size_t) override {}
  void OnMoved(const SaPtr&) override { ++moved; }
  void OnBack(std::size_t) override {}
  void OnGone(std::size_t) override {}
  void OnLost(const SaPtr&) override {}
  void OnDeviceState(const std::string& device, const std::string& state,
                     const std::string& explanation) override {
    states.push_back(device + " " + state + " " + explanation);
  }
  void OnWithdrawn(const std::string&, const WithdrawnCapability&, const std::string&) override {}
  void OnGuardHit(const std::string&, const std::string&, uint64_t) override { ++guard_hits; }
  void OnWrongPackets(const std::string& device, Half half, uint64_t count, const std::string& what,
                      const std::string& evidence) override {
    wrong.push_back(device + " " + std::string(Name(half)) + " " + std::to_string(count) + " " +
                    what + " " + evidence);
  }
  void OnDeviceEvent(const DataPathEvent&) override {}

  std::vector<std::string> states;
  std::vector<std::string> wrong;
  int moved = 0;
  int guard_hits = 0;
};

class Store final : public EvidenceStore {
 public:
  Result<std::string> Keep(const std::string& device,
                           std::span<const ShadowEvidence> evidence) override {
    if (full) return MakeError(Errc::kNoSpace, "the disk is full");
    kept.insert(kept.end(), evidence.begin(), evidence.end());
    return "/var/lib/" + device;
  }
  Result<std::string> Keep(const std::string&, std::span<const WithdrawnCapability>) override {
    return MakeError(Errc::kIo, "nothing fails its self-test here");
  }
  std::vector<ShadowEvidence> kept;
  bool full = false;
};

class ShadowPlacementTest : public testing::TestWithParam<OffloadMode> {
 protected:
  ShadowPlacementTest() {
    host_.SetAddresses({"192.0.2.1", "10.1.0.1"});
    placement_ =
        std::make_unique<Placement>(PlacementParams{.path = &host_.path,
                                                    .clock = &host_.clock,
                                                    .engines = &host_.engines,
                                                    .devices = {{.name = "nic0",
                                                                 .ifindex = TestHost::kIfindex,
                                                                 .offload = &host_.nic(),
                                                                 .shadow = &host_.shadow(),
                                                                 .terms = {.verify = 1}}},
                                                    .evidence = &store_},
                                    &listener_);
    const OffloadRequest out{GetParam(), TestHost::kIfindex, false};
    const OffloadRequest in{GetParam(), TestHost::kIfindex, true};
    SaOptions outbound{.spi = 0x1000, .direction = SaDirection::kOut, .offload = out};
    SaOptions inbound{.src = "192.0.2.2",
                      .dst = "192.0.2.1",
                      .spi = 0x2000,
                      .reqid = 2,
                      .direction = SaDirection::kIn,
                      .offload = in};
    sa_out_ = Install(outbound);
    sa_in_ = Install(inbound);
    PolicySpec policy = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                         {test::TemplateFor(outbound)});
    if (GetParam() == OffloadMode::kPacket) policy.offload = out;
    host_.AddPolicy(std::move(policy));
    host_.AddPolicy(test::MakePolicy(PolicyDirection::kIn, "10.2.0.0/16", "10.1.0.0/16",
                                     {test::TemplateFor(inbound)}));
    Settle();
  }
  ~ShadowPlacementTest() override {
    for (const auto& sa : {sa_out_, sa_in_}) {
      placement_->Remove(*sa);
      host_.path.sad.Remove(sa);
    }
    Settle();
    placement_.reset();
  }
  SaPtr Install(const SaOptions& options) {
    auto sa = MakeSharedSa(test::MakeSpec(options), uint64_t{1}, test::kTestIvMask);
    sa->number = host_.path.sad.NextNumber();
    EXPECT_TRUE(placement_->Place(sa).has_value());
    host_.path.sad.Insert(sa);
    return sa;
  }
  void Settle() {
    for (int i = 0; i < 10; ++i) {
      host_.Run();
      host_.path.quiescence.Collect();
      (void)placement_->DoSome();
      placement_->CheckDevices();
    }
  }
  std::vector<Bytes> Send() {
    return host_.Send(Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(100))));
  }
  std::vector<Bytes> Receive() {
    const Bytes inner =
        test::IpPacket({.src = "10.2.0.1", .dst = "10.1.0.1", .proto = 17}, Pattern(60));
    return host_.Receive(
        test::SealedFrame(sa_in_->spec(), ++number_, test::WithTrailer(inner, kProtoIpip)));
  }
  const SaBinding& Outbound() const {
    return *placement_->Find(sa_out_->number)->half(Half::kOutbound).binding;
  }
  const SaBinding& Inbound() const {
    return *placement_->Find(sa_in_->number)->half(Half::kInbound).binding;
  }
  MoveReport SetVerify(uint32_t one_of) {
    return placement_->Reconfigure({.devices = {{.verify = one_of}}, .rules = {}, .scheduler = {}});
  }

  Listener listener_;
  Store store_;
  PacketPools pools_{512, 8};
  TestHost host_{&pools_, {.nic = true, .verify = 1}};
  std::unique_ptr<Placement> placement_;
  SaPtr sa_out_;
  SaPtr sa_in_;
  uint64_t number_ = 0;
};

TEST_P(ShadowPlacementTest, HonestDeviceStays) {
  for (int i = 0; i < 50; ++i) {
    EXPECT_THAT(Send(), SizeIs(1));
    EXPECT_THAT(Receive(), SizeIs(1));
  }
  placement_->CheckDevices();
  EXPECT_TRUE(Outbound().on_device());
  EXPECT_TRUE(Inbound().on_device());
  EXPECT_THAT(listener_.wrong, IsEmpty());
  EXPECT_EQ(host_.shadow().stats().verified[IndexOf(Half::kOutbound)], 50u);
  EXPECT_EQ(host_.shadow().stats().verified[IndexOf(Half::kInbound)], 50u);
}

TEST_P(ShadowPlacementTest, CaughtDeviceIsLeftAndEvidenceKept) {
  ASSERT_TRUE(host_.nic().InjectFault("wrong-icv out 2"));
  EXPECT_THAT(Send(), IsEmpty());
  EXPECT_THAT(Send(), IsEmpty());
  placement_->CheckDevices();
  EXPECT_TRUE(placement_->devices().lied(0));
  EXPECT_THAT(placement_->devices().lied_why(0), HasSubstr("the ICV does not verify"));
  EXPECT_THAT(listener_.wrong, ElementsAre("nic0 out 2 the ICV does not verify /var/lib/nic0"));
  EXPECT_THAT(listener_.states, ElementsAre(HasSubstr("nic0 failed shadow verification")));
  EXPECT_THAT(store_.kept, SizeIs(2));
  EXPECT_EQ(placement_->devices().evidence(0), "/var/lib/nic0");
  EXPECT_FALSE(Outbound().on_device());
  EXPECT_FALSE(Inbound().on_device());
  Settle();
  // A client that asked for packet offload gets no software instead.
  EXPECT_EQ(Outbound().blocked(), GetParam() == OffloadMode::kPacket);
  EXPECT_THAT(Send(), SizeIs(GetParam() == OffloadMode::kPacket ? 0u : 1u));
}

TEST_P(ShadowPlacementTest, OperatorMayEnableItAgain) {
  ASSERT_TRUE(host_.nic().InjectFault("wrong-inner in 1"));
  EXPECT_THAT(Receive(), IsEmpty());
  placement_->CheckDevices();
  EXPECT_FALSE(Inbound().on_device());
  EXPECT_THAT(listener_.wrong, ElementsAre(HasSubstr("nic0 in 1 ")));
  Settle();
  EXPECT_TRUE(placement_->SetEnabled("nic0", true).has_value());
  Settle();
  EXPECT_FALSE(placement_->devices().lied(0));
  EXPECT_EQ(placement_->devices().lied_why(0), "");
  EXPECT_TRUE(Inbound().on_device());
  EXPECT_TRUE(Outbound().on_device());
  EXPECT_THAT(Send(), SizeIs(1));
}

TEST_P(ShadowPlacementTest, EvidenceThatCannotBeKeptIsSaid) {
  store_.full = true;
  ASSERT_TRUE(host_.nic().InjectFault("wrong-icv out"));
  EXPECT_THAT(Send(), IsEmpty());
  placement_->CheckDevices();
  EXPECT_THAT(listener_.wrong, ElementsAre(HasSubstr("not kept: the disk is full")));
  EXPECT_TRUE(placement_->devices().lied(0));
}

TEST_P(ShadowPlacementTest, VerifyMayChangeWhileSasRun) {
  const OffloadHandle handle = Outbound().handle;
  EXPECT_NE(Outbound().shadow(), nullptr);
  (void)SetVerify(0);
  Settle();
  EXPECT_EQ(Outbound().shadow(), nullptr);
  EXPECT_EQ(Inbound().shadow(), nullptr);
  EXPECT_EQ(Outbound().handle, handle) << "the device keeps it";
  EXPECT_THAT(Send(), SizeIs(1));
  EXPECT_THAT(Receive(), SizeIs(1));
  EXPECT_EQ(host_.shadow().stats().verified[IndexOf(Half::kOutbound)], 0u);
  (void)SetVerify(1);
  Settle();
  EXPECT_THAT(Send(), SizeIs(1));
  EXPECT_THAT(Receive(), SizeIs(1));
  EXPECT_EQ(host_.shadow().stats().verified[IndexOf(Half::kOutbound)], 1u);
  EXPECT_EQ(host_.shadow().stats().verified[IndexOf(Half::kInbound)], 1u);
  EXPECT_EQ(Outbound().handle, handle);
  EXPECT_THAT(listener_.wrong, IsEmpty());
}

TEST_P(ShadowPlacementTest, EveryHolderOfTheKeyIsInTheLedger) {
  const auto holders = [this] {
    std::size_t engines = 0;
    for (const KeyEntry& key : placement_->ledger().Report({.spi = Spi(0x1000)}).keys) {
      engines += key.holder_kind == "engine" && key.until_ms == 0;
    }
    return engines;
  };
  const std::size_t with = holders();
  (void)SetVerify(0);
  Settle();
  EXPECT_EQ(holders(), with - 1);
}

INSTANTIATE_TEST_SUITE_P(Modes, ShadowPlacementTest,
                         testing::Values(OffloadMode::kCrypto, OffloadMode::kPacket),
                         [](const auto& mode) {
                           return mode.param == OffloadMode::kPacket ? "Packet" : "Crypto";
                         });

}  // namespace
}  // namespace cygnet
