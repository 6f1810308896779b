// BindHalf over a real engine and a real software NIC: where a half runs, why, and who has its key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "esp/crypto_jobs.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::SaOptions;
using test::TestHost;
using testing::ElementsAre;
using testing::IsEmpty;

SaOptions Offloaded(SaOptions options, bool inbound) {
  options.offload = OffloadRequest{OffloadMode::kCrypto, TestHost::kIfindex, inbound};
  return options;
}

struct Lack {
  const char* reason;
  void (*cripple)(OffloadCaps*);
};

constexpr PlacementRequest kDeviceAuto{.mode = PlacementMode::kAuto, .by = RequestedBy::kDevice};

// Records the events of keys.
class KeyDiary final : public KeyObserver {
 public:
  Result<uint64_t> GiveToEngine(uint32_t, const SaSpec&, Half half) override {
    return Note("engine", half);
  }
  Result<uint64_t> GiveToDevice(const OffloadDevice&, const SaSpec&, Half half) override {
    return Note("device", half);
  }
  void TakenByDevice(const OffloadDevice&, OffloadHandle, uint64_t) override {
    events.emplace_back("taken");
  }
  void NotTaken(uint64_t, const std::string&) override { events.emplace_back("not taken"); }
  void Erased(uint64_t) override { events.emplace_back("erased"); }

  std::vector<std::string> events;
  bool refuse = false;

 private:
  Result<uint64_t> Note(const std::string& who, Half half) {
    if (refuse) return MakeError(Errc::kNoSpace, "the disk is full");
    events.push_back(who + " " + std::string(Name(half)));
    return uint64_t{events.size()};
  }
};

class BindHalfTest : public testing::Test {
 protected:
  BindInputs Inputs(const PlacementRequest& request) {
    return {.request = request, .devices = host_.devices, .engines = &host_.engines};
  }
  Result<BoundHalf> Bind(const SaSpec& spec, Half half = Half::kOutbound) {
    return BindHalf(spec, half, Inputs(ClientRequest(spec)));
  }
  PacketPools pools_{64, 2};
  TestHost host_{&pools_, {.nic = true}};
  std::shared_ptr<KeyDiary> keys_ = std::make_shared<KeyDiary>();
};

TEST_F(BindHalfTest, WithoutARequestItIsSoftware) {
  const auto binding = Bind(test::MakeSpec());
  ASSERT_TRUE(binding.has_value());
  EXPECT_EQ(binding->next().path, ProcessingPath::kSoftware);
  EXPECT_EQ(binding->reason.Text(), "not-requested");
  EXPECT_THAT(host_.nic().HeldSas(), IsEmpty());
}

TEST_F(BindHalfTest, EveryLackHasItsName) {
  const Lack lacks[] = {
      {"crypto-offload", [](OffloadCaps* c) { c->crypto_offload = false; }},
      {"outbound", [](OffloadCaps* c) { c->outbound = false; }},
      {"tunnel", [](OffloadCaps* c) { c->tunnel = false; }},
      {"ipv4", [](OffloadCaps* c) { c->ipv4 = false; }},
      {"algorithm", [](OffloadCaps* c) { c->algorithms = {}; }},
      {"key-128", [](OffloadCaps* c) { c->key_bytes = {32}; }},
      {"icv-128", [](OffloadCaps* c) { c->icv_bytes = {8}; }},
  };
  const OffloadCaps whole = host_.nic().caps();
  for (const Lack& lack : lacks) {
    OffloadCaps caps = whole;
    lack.cripple(&caps);
    host_.nic().set_caps(caps);
    const auto binding = Bind(test::MakeSpec(Offloaded({}, false)));
    ASSERT_TRUE(binding.has_value()) << lack.reason;
    EXPECT_EQ(binding->next().path, ProcessingPath::kSoftware);
    EXPECT_EQ(binding->reason.Text(), std::string("no-capability:") + lack.reason);
  }
}

TEST_F(BindHalfTest, LacksOfTheOtherHalfAndTheOtherFamilyHaveTheirNames) {
  OffloadCaps caps = host_.nic().caps();
  caps.inbound = caps.ipv6 = caps.transport = false;
  host_.nic().set_caps(caps);
  EXPECT_EQ(Bind(test::MakeSpec(Offloaded({}, true)), Half::kInbound)->reason.Text(),
            "no-capability:inbound");
  SaOptions v6{.src = "2001:db8::1", .dst = "2001:db8::2"};
  EXPECT_EQ(Bind(test::MakeSpec(Offloaded(v6, false)))->reason.Text(), "no-capability:ipv6");
  SaOptions transport{.mode = SaMode::kTransport};
  EXPECT_EQ(Bind(test::MakeSpec(Offloaded(transport, false)))->reason.Text(),
            "no-capability:transport");
  SaOptions udp{.encap = test::NatT()};
  EXPECT_EQ(Bind(test::MakeSpec(Offloaded(udp, false)))->reason.Text(),
            "no-capability:udp-encapsulation");
  SaOptions short_icv{.icv_bytes = 8};
  EXPECT_EQ(Bind(test::MakeSpec(Offloaded(short_icv, false)))->reason.Text(),
            "no-capability:icv-64");
}

TEST_F(BindHalfTest, ReplayWindowCountsForInboundOnly) {
  OffloadCaps caps = host_.nic().caps();
  caps.max_replay_window = 32;
  host_.nic().set_caps(caps);
  const auto out = Bind(test::MakeSpec(Offloaded({}, false)));
  EXPECT_EQ(out->next().path, ProcessingPath::kCryptoOffload);
  host_.nic().ReleaseSa(out->next().handle);
  EXPECT_EQ(Bind(test::MakeSpec(Offloaded({}, true)), Half::kInbound)->reason.Text(),
            "no-capability:replay-window-64");
}

TEST_F(BindHalfTest, MissingEsnIsAnErrorAsInTheKernel) {
  OffloadCaps caps = host_.nic().caps();
  caps.esn = false;
  host_.nic().set_caps(caps);
  const auto binding = Bind(test::MakeSpec(Offloaded({.flags = kSaFlagEsn}, false)));
  ASSERT_FALSE(binding.has_value());
  EXPECT_EQ(binding.error().code, Errc::kInvalid);
}

TEST_F(BindHalfTest, PacketOffloadIsRefusedAndNeverFallsBack) {
  OffloadCaps caps = host_.nic().caps();
  caps.packet_offload = false;
  host_.nic().set_caps(caps);
  SaOptions options = Offloaded({}, false);
  options.offload->mode = OffloadMode::kPacket;
  const auto binding = Bind(test::MakeSpec(options));
  ASSERT_FALSE(binding.has_value());
  EXPECT_EQ(binding.error().code, Errc::kNotSupported);
  options.offload->ifindex = 7;
  EXPECT_EQ(Bind(test::MakeSpec(options)).error().code, Errc::kInvalid);
}

TEST_F(BindHalfTest, PacketOffloadOfAClientHasNoCpu) {
  SaOptions options = Offloaded({}, false);
  options.offload->mode = OffloadMode::kPacket;
  BindInputs inputs = Inputs(ClientRequest(test::MakeSpec(options)));
  inputs.keys = keys_;
  const auto bound = BindHalf(test::MakeSpec(options), Half::kOutbound, inputs);
  ASSERT_TRUE(bound.has_value());
  EXPECT_EQ(bound->next().path, ProcessingPath::kPacketOffload);
  EXPECT_TRUE(bound->next().device_numbers());
  EXPECT_EQ(bound->next().cpu.session, nullptr);
  EXPECT_THAT(keys_->events, ElementsAre("device out", "taken"));
  host_.nic().ReleaseSa(bound->next().handle);
}

TEST_F(BindHalfTest, PacketOffloadLacksItsOwnCapabilities) {
  SaOptions options = Offloaded(SaOptions{.tfc_pad = 100}, false);
  options.offload->mode = OffloadMode::kPacket;
  EXPECT_THAT(Bind(test::MakeSpec(options)).error().message, testing::HasSubstr("tfc-padding"));
}

// The same device does crypto offload now: its slot is another one.
TEST_F(BindHalfTest, FromCryptoToPacketOffloadTheDeviceGetsTheHalfAnew) {
  const auto crypto = Bind(test::MakeSpec(Offloaded({}, true)), Half::kInbound);
  ASSERT_TRUE(crypto.has_value());
  SaOptions options = Offloaded({}, true);
  options.offload->mode = OffloadMode::kPacket;
  BindInputs inputs = Inputs(ClientRequest(test::MakeSpec(options)));
  inputs.current = &crypto->next();
  inputs.cause = PlacementCause::kMove;
  int asked = 0;
  inputs.numbers = [&asked](const OffloadDevice&) {
    ++asked;
    return NumberBlock{1, 100};
  };
  const auto packet = BindHalf(test::MakeSpec(options), Half::kInbound, inputs);
  ASSERT_TRUE(packet.has_value() && !packet->stays());
  EXPECT_NE(packet->next().handle, crypto->next().handle);
  EXPECT_EQ(packet->next().cpu.session, crypto->next().cpu.session) << "for what is on its way";
  EXPECT_EQ(asked, 1);
  inputs.current = &packet->next();
  EXPECT_TRUE(BindHalf(test::MakeSpec(options), Half::kInbound, inputs)->stays());
  EXPECT_EQ(asked, 1);
  host_.nic().ReleaseSa(crypto->next().handle);
  host_.nic().ReleaseSa(packet->next().handle);
}

TEST_F(BindHalfTest, UnknownDeviceFallsBackAndSaysSo) {
  SaOptions options = Offloaded({}, false);
  options.offload->ifindex = 7;
  EXPECT_EQ(Bind(test::MakeSpec(options))->reason.Text(), "device-unknown");
}

TEST_F(BindHalfTest, DeviceThatIsSwitchedOffGetsNoKey) {
  host_.devices[0].mode = PlacementMode::kNo;
  EXPECT_EQ(Bind(test::MakeSpec(Offloaded({}, false)))->reason.Text(), "device-off");
  EXPECT_EQ(host_.nic().offload_stats().slots_high_water, 0u);
}

TEST_F(BindHalfTest, AutoOfTheDeviceIsTakenLikeARequest) {
  host_.devices[0].mode = PlacementMode::kAuto;
  EXPECT_EQ(Bind(test::MakeSpec())->next().path, ProcessingPath::kSoftware);
  const auto bound = BindHalf(test::MakeSpec(), Half::kOutbound, Inputs(kDeviceAuto));
  ASSERT_TRUE(bound.has_value());
  EXPECT_EQ(bound->next().path, ProcessingPath::kCryptoOffload);
  host_.nic().ReleaseSa(bound->next().handle);
}

TEST_F(BindHalfTest, AutoWithoutEsnFallsBack) {
  host_.devices[0].mode = PlacementMode::kAuto;
  OffloadCaps caps = host_.nic().caps();
  caps.esn = false;
  host_.nic().set_caps(caps);
  const auto bound =
      BindHalf(test::MakeSpec({.flags = kSaFlagEsn}), Half::kOutbound, Inputs(kDeviceAuto));
  ASSERT_TRUE(bound.has_value());
  EXPECT_EQ(bound->reason.Text(), "no-capability:esn");
}

TEST_F(BindHalfTest, RequiredHasNoSessionOfTheCpu) {
  const auto bound = BindHalf(test::MakeSpec(), Half::kOutbound,
                              Inputs({.mode = PlacementMode::kRequired, .by = RequestedBy::kRule}));
  ASSERT_TRUE(bound.has_value());
  EXPECT_TRUE(bound->next().on_device());
  EXPECT_EQ(bound->next().engine().session, nullptr);
  host_.nic().ReleaseSa(bound->next().handle);
}

// --- Moves ---

TEST_F(BindHalfTest, AMoveThatChangesNothingStaysAndHandsOutNoKey) {
  const SaSpec spec = test::MakeSpec(Offloaded({}, false));
  const auto first = Bind(spec);
  ASSERT_TRUE(first.has_value());
  BindInputs inputs = Inputs(ClientRequest(spec));
  inputs.cause = PlacementCause::kMove;
  inputs.current = &first->next();
  inputs.keys = keys_;
  const auto again = BindHalf(spec, Half::kOutbound, inputs);
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(again->stays());
  EXPECT_EQ(again->reason.Text(), "requested");
  EXPECT_THAT(keys_->events, IsEmpty());
  host_.nic().ReleaseSa(first->next().handle);
}

TEST_F(BindHalfTest, AMoveThatMayRunNowhereBlocksAndStaysBlocked) {
  const SaSpec spec = test::MakeSpec();
  BindInputs inputs = Inputs({.mode = PlacementMode::kRequired, .by = RequestedBy::kOperator});
  EXPECT_TRUE(host_.devices[0].device->offload_up());
  host_.nic().SetOffloadUp(false);
  EXPECT_FALSE(BindHalf(spec, Half::kOutbound, inputs).has_value()) << "an install fails";
  inputs.cause = PlacementCause::kMove;
  const auto blocked = BindHalf(spec, Half::kOutbound, inputs);
  ASSERT_TRUE(blocked.has_value());
  EXPECT_TRUE(blocked->next().blocked());
  EXPECT_EQ(blocked->reason.Text(), "device-down");
  inputs.current = &blocked->next();
  EXPECT_TRUE(BindHalf(spec, Half::kOutbound, inputs)->stays());
}

// --- Keys ---

TEST_F(BindHalfTest, ObserverKnowsOfEachKeyAndOfItsEnd) {
  const SaSpec spec = test::MakeSpec(Offloaded({}, false));
  BindInputs inputs = Inputs(ClientRequest(spec));
  inputs.keys = keys_;
  {
    const auto bound = BindHalf(spec, Half::kOutbound, inputs);
    ASSERT_TRUE(bound.has_value());
    EXPECT_THAT(keys_->events, ElementsAre("device out", "taken", "engine out"));
    keys_->events.clear();
    host_.nic().ReleaseSa(bound->next().handle);
  }
  EXPECT_THAT(keys_->events, ElementsAre("erased"));
}

TEST_F(BindHalfTest, WhatIsNotRecordedIsNotGiven) {
  const SaSpec spec = test::MakeSpec(Offloaded({}, false));
  BindInputs inputs = Inputs(ClientRequest(spec));
  inputs.keys = keys_;
  keys_->refuse = true;
  const auto bound = BindHalf(spec, Half::kOutbound, inputs);
  ASSERT_FALSE(bound.has_value());
  EXPECT_THAT(bound.error().message, testing::HasSubstr("the disk is full"));
  EXPECT_THAT(host_.nic().HeldSas(), IsEmpty());
  EXPECT_THAT(host_.nic().KeyLog(), IsEmpty()) << "the device was not offered it either";
}

// --- Checks without a key ---

TEST_F(BindHalfTest, ChecksOfADeviceGiveItNoKey) {
  const auto all = CheckDevice(test::MakeSpec(), Half::kInbound, &host_.devices[0],
                               PlacementMode::kCrypto, SlotClaim::kNewcomer);
  EXPECT_EQ(FirstObstacle(all), std::nullopt);
  EXPECT_EQ(all.front().name, "device");
  EXPECT_EQ(all.back().name, "slots");
  EXPECT_THAT(host_.nic().KeyLog(), IsEmpty());
}

TEST_F(BindHalfTest, ReserveIsForRekeysOnly) {
  host_.devices[0].rekey_reserve = 1'000'000;
  const auto check = [&](SlotClaim claim) {
    const auto obstacle = FirstObstacle(CheckDevice(
        test::MakeSpec(), Half::kOutbound, &host_.devices[0], PlacementMode::kCrypto, claim));
    return obstacle.has_value() ? obstacle->code : ReasonCode::kRequested;
  };
  EXPECT_EQ(check(SlotClaim::kNewcomer), ReasonCode::kRekeyReserve);
  EXPECT_EQ(check(SlotClaim::kRekey), ReasonCode::kRequested);
}

TEST_F(BindHalfTest, EngineThatIsDeniedIsNotChosen) {
  const SaSpec spec = test::MakeSpec();
  const SessionParams params = esp::SessionFor(spec, CryptoDirection::kSeal, 1);
  EXPECT_EQ(*ChooseEngine(EngineKind::kCpu, params, host_.engines, {}), 0u);
  const std::vector<std::optional<PlacementReason>> denied(
      host_.engines.size(), PlacementReason{ReasonCode::kOperatorDisabled, {}});
  const auto none = ChooseEngine(EngineKind::kCpu, params, host_.engines, denied);
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code, Errc::kNotSupported);
}

// --- Words ---

TEST(PlacementRequestTest, ModesHaveNamesThatCanBeRead) {
  for (const PlacementMode mode : kPlacementModes) EXPECT_EQ(ParsePlacementMode(Name(mode)), mode);
  EXPECT_EQ(ParsePlacementMode("always"), std::nullopt);
  EXPECT_EQ(ParsePlacementMode(""), std::nullopt);
}

TEST(PlacementRequestTest, ClientAsksByTheOffloadOfItsSa) {
  EXPECT_EQ(ClientRequest(test::MakeSpec()), PlacementRequest{});
  EXPECT_EQ(ClientRequest(test::MakeSpec(Offloaded({}, false))),
            (PlacementRequest{.mode = PlacementMode::kCrypto,
                              .by = RequestedBy::kClient,
                              .ifindex = TestHost::kIfindex}));
}

}  // namespace
}  // namespace cygnet
