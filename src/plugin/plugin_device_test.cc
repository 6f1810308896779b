// A driver by others as a device of the stack.
#include "plugin/plugin_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/plugin_fixture.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Pattern;
using test::PluginDeviceTest;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(PluginDeviceTest, ItsCapabilitiesAndIdentityAreThoseOfThePlugin) {
  OpenSoft({"slots=7"});
  const OffloadCaps& caps = device_->caps();
  EXPECT_TRUE(caps.crypto_offload && caps.tunnel && caps.ipv6 && caps.esn);
  EXPECT_FALSE(caps.packet_offload || caps.udp_encap);
  EXPECT_THAT(caps.algorithms, ElementsAre("rfc4106(gcm(aes))"));
  EXPECT_THAT(caps.key_bytes, ElementsAre(16, 24, 32));
  EXPECT_THAT(caps.icv_bytes, ElementsAre(8, 12, 16));
  EXPECT_EQ(device_->identity().model, "soft_driver");
  EXPECT_EQ(device_->identity().serial, "nic0");
  EXPECT_TRUE(device_->identity().simulated);
  EXPECT_EQ(device_->offload_stats().direction_limit, 7u);
}

TEST_F(PluginDeviceTest, ItSealsAndOpensAsTheOracleDoes) {
  OpenSoft();
  for (const bool esn : {false, true}) {
    const SaSpec spec =
        test::MakeSpec({.spi = esn ? 2u : 1u, .flags = esn ? kSaFlagEsn : uint8_t{0}});
    const uint64_t seq = esn ? 0x3'00000007 : 7;
    const OffloadHandle out = Add(spec, Half::kOutbound);
    Transmit(ToSeal(spec, out, seq, Pattern(40)));
    const Bytes sealed =
        test::EspFrame(spec, test::OracleSeal(spec, seq, static_cast<uint32_t>(seq), Pattern(40)));
    EXPECT_THAT(Sent(), ElementsAre(sealed));
    OffloadHandle in;
    ASSERT_FALSE(device_->InstallSa({spec, Half::kInbound, seq - 1}, &in).has_value());
    EXPECT_EQ(Receive(sealed).at(0).meta.status, OffloadStatus::kNone);  // not started
    device_->StartSa(in);
    const Arrived opened = Receive(sealed).at(0);
    EXPECT_EQ(opened.meta.status, OffloadStatus::kOpened);
    EXPECT_EQ(opened.meta.handle, in);
    EXPECT_EQ(opened.meta.esn_high, seq >> 32);
    EXPECT_EQ(Bytes(opened.frame.begin() + 50, opened.frame.end() - 16), Pattern(40));
    device_->StopSa(in);
    EXPECT_EQ(Receive(sealed).at(0).meta.status, OffloadStatus::kNone);
  }
  EXPECT_EQ(device_->offload_stats().sealed, 2u);
  EXPECT_EQ(device_->offload_stats().opened, 2u);
  EXPECT_EQ(device_->breach(), "");
}

TEST_F(PluginDeviceTest, AReleasedHandleIsErasedOnceAndNeverSealsAgain) {
  OpenSoft();
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Add(spec, Half::kOutbound);
  device_->StopSa(handle);
  device_->ReleaseSa(handle);
  EXPECT_THAT(device_->TakeErased(), ElementsAre(handle));
  EXPECT_THAT(device_->TakeErased(), IsEmpty());
  Transmit(ToSeal(spec, handle, 1, Pattern(40)));
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_EQ(device_->device_drops()->Get(DropReason::kOutDeviceError), 1u);
  EXPECT_NE(Add(spec, Half::kOutbound), handle);
}

TEST_F(PluginDeviceTest, AFullTableIsThePluginsRefusal) {
  OpenSoft({"slots=1"});
  const SaSpec spec = test::MakeSpec();
  Add(spec, Half::kOutbound);
  OffloadHandle handle{99};
  const auto refusal = device_->InstallSa({spec, Half::kOutbound, 0}, &handle);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->kind, InstallError::kTableFull);
  EXPECT_EQ(refusal->code, Errc::kNoSpace);
  EXPECT_EQ(refusal->text, "no free slot");
  EXPECT_EQ(handle, OffloadHandle{99});
}

TEST_F(PluginDeviceTest, WhatItCannotSealComesBackAsItWas) {
  OpenSoft();
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Add(spec, Half::kOutbound);
  for (const char* fault : {"down", "reset"}) {
    ASSERT_TRUE(device_->faults()->InjectFault(fault));
    Packet* packet = ToSeal(spec, handle, 1, Pattern(40));
    const Bytes before = test::ToBytes(packet->bytes());
    Transmit(packet);
    EXPECT_FALSE(device_->PrepareWait(0));
    const Arrived back = Receive().at(0);
    EXPECT_EQ(back.frame, before);
    EXPECT_EQ(back.meta.status, OffloadStatus::kReturned);
    EXPECT_EQ(back.meta.handle, handle);
    EXPECT_EQ(back.meta.esp_offset, 34u);
    EXPECT_EQ(back.sa_number, 77u);
    ASSERT_TRUE(device_->faults()->InjectFault("up"));
  }
  EXPECT_EQ(device_->resets(), 1u);
  EXPECT_THAT(device_->TakeErased(), ElementsAre(handle));
  EXPECT_EQ(device_->faults()->InjectFault("melt").error().code, Errc::kInvalid);
}

TEST_F(PluginDeviceTest, KnownAnswersNeverTouchTheWire) {
  OpenSoft();
  const SaSpec spec = test::MakeSpec();
  PacketPools others{8, 1};  // the packet is of no pool that the device knows
  Packet* packet = nullptr;
  ASSERT_EQ(others.small.Take(&packet, 1), 1u);
  Packet* like = ToSeal(spec, {}, 7, Pattern(40));
  packet->head = like->head;
  packet->length = 0;
  std::copy(like->bytes().begin(), like->bytes().end(), packet->Append(like->length));
  packet->l3_offset = like->l3_offset;
  packet->offload = like->offload;
  test::FreePacket(like);
  DropReason drop = DropReason::kNone;
  ASSERT_TRUE(device_->loopback()->Loop({spec, Half::kOutbound}, {&packet, 1}, {&drop, 1}));
  EXPECT_EQ(drop, DropReason::kNone);
  EXPECT_EQ(test::ToBytes(packet->bytes()),
            test::EspFrame(spec, test::OracleSeal(spec, 7, 7, Pattern(40))));
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_EQ(device_->offload_stats().sealed, 0u);
  test::FreePacket(packet);
}

TEST_F(PluginDeviceTest, ADeviceWithoutAWireHasNoLink) {
  OpenSoft();
  EXPECT_EQ(device_->state(), DeviceState::kUp);
  EXPECT_EQ(device_->link(), LinkStatus::kUp);
  EXPECT_EQ(device_->mtu(), wire_->mtu());
}

// Bug: the link was the wire's, whatever the device said of itself.
TEST_F(PluginDeviceTest, WithoutALinkOrRemovedItHasNone) {
  static uint32_t state;
  auto plugin =
      LoadDriver(std::string(CYGNET_TEST_PLUGINS) + "/plugin_soft.so", PluginTrust::kAnyOwner);
  ASSERT_TRUE(plugin) << plugin.error().message;
  plugin->driver.status = [](void*, cygnet_status* status) { status->state = state; };
  Open(*plugin);
  for (const auto& [of_device, link] : {std::pair(CYGNET_STATE_UP, LinkStatus::kUp),
                                        {CYGNET_STATE_DOWN, LinkStatus::kUp},
                                        {CYGNET_STATE_LINK_DOWN, LinkStatus::kNoCarrier},
                                        {CYGNET_STATE_RESETTING, LinkStatus::kUp},
                                        {CYGNET_STATE_REMOVED, LinkStatus::kGone},
                                        {CYGNET_STATE_FAILED, LinkStatus::kUp}}) {
    state = of_device;
    EXPECT_EQ(device_->link(), link) << of_device;
  }
}

TEST_F(PluginDeviceTest, ARowOfCapabilitiesIsAskedForItsOwnLengths) {
  OpenSoft();
  SaSpec spec = test::MakeSpec();
  spec.aead.icv_bits = 32;
  OffloadHandle handle;
  const auto refusal = device_->InstallSa({spec, Half::kOutbound, 0}, &handle);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->code, Errc::kNotSupported);
  EXPECT_THAT(refusal->text, HasSubstr("with an ICV of 4 bytes"));
}

TEST_F(PluginDeviceTest, ARefusedOpenIsAnErrorWithThePluginsWords) {
  const auto plugin =
      LoadDriver(std::string(CYGNET_TEST_PLUGINS) + "/plugin_soft.so", PluginTrust::kAnyOwner);
  ASSERT_TRUE(plugin);
  const auto device = PluginDevice::Open(*plugin, {.name = "nic0",
                                                   .pools = &pools_,
                                                   .wire = std::make_unique<MemoryPort>("wire"),
                                                   .options = {"colour=red"}});
  ASSERT_FALSE(device);
  EXPECT_THAT(device.error().message, HasSubstr("refuses to open: the only option is slots="));
}

}  // namespace
}  // namespace cygnet
