#include "xfrm/policy_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/xfrm_messages.h"
#include "xfrm/event_message.h"
#include "xfrm/info_message.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {
namespace {

using testing::Message;
using testing::PolicyInfo;
using testing::TunnelTemplate;

template <typename Decoder>
auto DecodeWith(Decoder decoder, Message& message) -> decltype(decoder(Request{})) {
  const netlink::Buffer bytes = message.Finish();
  netlink::ExtendedAck ack;
  const auto request = ParseRequest(testing::View(bytes), ack);
  if (!request) return request.error();
  return decoder(*request);
}

Zeroed<xfrm_user_offload> Offload(uint8_t flags) {
  Zeroed<xfrm_user_offload> wire;
  wire->ifindex = 1;
  wire->flags = flags;
  return wire;
}

TEST(DecodePolicyTest, TakesEveryField) {
  auto info = PolicyInfo();
  info->priority = 5;
  info->index = 0x11;
  info->action = XFRM_POLICY_BLOCK;
  info->flags = 2;
  info->share = 3;
  info->lft.hard_use_expires_seconds = 60;
  auto wanted = TunnelTemplate();
  wanted->family = 0;
  const auto spec = DecodeWith(DecodePolicy, Message(RequestType::kNewPolicy)
                                                 .Put(info)
                                                 .AttrBytes(XFRMA_TMPL, wanted.bytes())
                                                 .Attr(XFRMA_MARK, xfrm_mark{0x13, 0xf})
                                                 .Attr(XFRMA_IF_ID, uint32_t{9}));
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(spec->selector.saddr, ParseAddress("10.1.0.0")->address);
  EXPECT_EQ(spec->selector.prefixlen_d, 24);
  EXPECT_EQ(spec->priority, 5u);
  EXPECT_EQ(spec->index, 0x11u);
  EXPECT_EQ(spec->direction, PolicyDirection::kOut);
  EXPECT_EQ(spec->action, PolicyAction::kBlock);
  EXPECT_EQ(spec->type, PolicyType::kMain);
  EXPECT_EQ(spec->flags, 2);
  EXPECT_EQ(spec->share, 3);
  EXPECT_EQ(spec->limits->hard_use_seconds, 60u);
  EXPECT_EQ(spec->mark_value, 3u);
  EXPECT_EQ(spec->mark_mask, 0xfu);
  EXPECT_EQ(spec->if_id, 9u);
  ASSERT_EQ(spec->templates.size(), 1u);
  EXPECT_EQ(spec->templates[0].family, IpFamily::kV4) << "the family of the policy, if omitted";
  EXPECT_EQ(spec->templates[0].reqid, Reqid(1));
  EXPECT_EQ(spec->templates[0].mode, XFRM_MODE_TUNNEL);
}

TEST(DecodePolicyTest, OffloadIsPacketModeOnly) {
  for (const uint8_t flags : std::initializer_list<uint8_t>{0, 1, 2, 5, 6, 8}) {
    const auto spec =
        DecodeWith(DecodePolicy, Message(RequestType::kNewPolicy)
                                     .Put(PolicyInfo())
                                     .AttrBytes(XFRMA_OFFLOAD_DEV, Offload(flags).bytes()));
    EXPECT_EQ(spec.error().code, Errc::kInvalid);
    EXPECT_EQ(spec.error().message, "Unrecognized flags in offload request") << int{flags};
  }
  for (const uint8_t direction : {uint8_t{XFRM_POLICY_IN}, uint8_t{XFRM_POLICY_OUT}}) {
    auto info = PolicyInfo();
    info->dir = direction;
    const auto spec = DecodeWith(
        DecodePolicy, Message(RequestType::kNewPolicy)
                          .Put(info)
                          .AttrBytes(XFRMA_OFFLOAD_DEV, Offload(kOffloadPacket).bytes()));
    ASSERT_TRUE(spec.has_value()) << spec.error().message;
    EXPECT_EQ(spec->offload, (OffloadRequest{OffloadMode::kPacket, 1, direction == 0}));
  }
}

// As copy_user_offload writes it: the direction of the policy is there, too.
TEST(EncodePolicyTest, ShowsTheOffloadInEveryMessage) {
  PolicySpec policy;
  policy.selector.family = IpFamily::kV4;
  policy.offload = OffloadRequest{OffloadMode::kPacket, 7, false};
  const auto flags_of = [](const netlink::Buffer& message) {
    netlink::ExtendedAck ack;
    const auto request = ParseRequest(testing::View(message), ack);
    const auto wire = request->attributes.Get<xfrm_user_offload>(XFRMA_OFFLOAD_DEV);
    return wire && wire->ifindex == 7 ? int{wire->flags} : -1;
  };
  EXPECT_EQ(flags_of(EncodePolicy(policy, {}, {}, DumpPart::kYes)), kOffloadPacket);
  EXPECT_EQ(flags_of(EncodePolicyAdded({policy, {}}, {})), kOffloadPacket);
  EXPECT_EQ(flags_of(EncodePolicyUpdated({policy, {}}, {})), kOffloadPacket);
  EXPECT_EQ(flags_of(EncodePolicyDeleted({policy, {}}, IdOf(policy), {})), kOffloadPacket);
  EXPECT_EQ(flags_of(EncodePolicyExpired({policy, {}}, true, 0)), kOffloadPacket);
  policy.direction = PolicyDirection::kIn;
  policy.offload->inbound = true;
  EXPECT_EQ(flags_of(EncodePolicyAdded({policy, {}}, {})), kOffloadPacket | XFRM_OFFLOAD_INBOUND);
  policy.offload = std::nullopt;
  EXPECT_EQ(flags_of(EncodePolicyAdded({policy, {}}, {})), -1);
}

TEST(EncodePolicyTest, DecodesToWhatWasEncoded) {
  auto info = PolicyInfo();
  info->index = 9;
  info->action = XFRM_POLICY_BLOCK;
  const auto first = DecodeWith(DecodePolicy, Message(RequestType::kNewPolicy)
                                                  .Put(info)
                                                  .AttrBytes(XFRMA_TMPL, TunnelTemplate().bytes())
                                                  .Attr(XFRMA_MARK, xfrm_mark{1, 3}));
  ASSERT_TRUE(first.has_value());
  const auto message = EncodePolicy(*first, {}, {1, 2}, DumpPart::kYes);
  EXPECT_EQ(testing::View(message).header.nlmsg_flags, NLM_F_MULTI);
  netlink::ExtendedAck ack;
  const auto request = ParseRequest(testing::View(message), ack);
  ASSERT_TRUE(request.has_value());
  const auto again = DecodePolicy(*request);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->selector, first->selector);
  EXPECT_EQ(again->limits, first->limits);
  EXPECT_EQ(again->templates, first->templates);
  EXPECT_EQ(again->mark_value, 1u);
  EXPECT_EQ(again->index, 9u);
}

TEST(EncodeAcquireTest, DescribesFlowPolicyAndSa) {
  PolicySpec policy;
  policy.selector.family = IpFamily::kV4;
  policy.index = 17;
  policy.offload = OffloadRequest{OffloadMode::kPacket, 7, false};
  Template wanted;
  wanted.family = IpFamily::kV4;
  wanted.proto = 50;
  wanted.aalgos = 0xfeed;
  policy.templates = {wanted};
  FlowKey flow;
  flow.family = IpFamily::kV4;
  flow.saddr = ParseAddress("10.1.0.1")->address;
  flow.daddr = ParseAddress("10.2.0.1")->address;
  flow.proto = 17;
  flow.sport = 1000;
  flow.dport = 53;
  const auto daddr = ParseAddress("192.0.2.2")->address;
  const auto message = EncodeAcquire({.flow = flow,
                                      .ifindex = 4,
                                      .policy = {policy, {}},
                                      .wanted = wanted,
                                      .saddr = ParseAddress("192.0.2.1")->address,
                                      .daddr = daddr,
                                      .seq = 6,
                                      .cpu = 1});
  const auto view = testing::View(message);
  EXPECT_EQ(view.header.nlmsg_type, XFRM_MSG_ACQUIRE);
  // Header, user_acquire, TMPL, POLICY_TYPE, OFFLOAD_DEV, SA_PCPU: as sent by a kernel.
  EXPECT_EQ(message.size(), 16u + 280u + 68u + 12u + 12u + 8u);
  const auto wire = ReadAt<xfrm_user_acquire>(view.payload()).value();
  EXPECT_EQ(FromWire(wire.id.daddr, IpFamily::kV4), daddr);
  EXPECT_EQ(wire.id.spi, 0u);
  EXPECT_EQ(wire.id.proto, 50);
  EXPECT_EQ(wire.policy.index, 17u);
  EXPECT_EQ(wire.aalgos, 0xfeedu);
  EXPECT_EQ(wire.seq, 6u);
  EXPECT_EQ(wire.sel.prefixlen_s, 32);
  EXPECT_EQ(wire.sel.prefixlen_d, 32);
  EXPECT_EQ(be16::FromRaw(wire.sel.sport).value(), 1000);
  EXPECT_EQ(be16::FromRaw(wire.sel.dport).value(), 53);
  EXPECT_EQ(wire.sel.dport_mask, 0xffff);
  EXPECT_EQ(wire.sel.ifindex, 4);
}

TEST(EncodeSaExpiredTest, IsUserExpireWithIdentity) {
  SaSpec spec;
  spec.direction = SaDirection::kIn;
  SaView view;
  view.spec = &spec;
  const auto message = EncodeSaExpired(view, true);
  const auto payload = testing::View(message).payload();
  EXPECT_EQ(testing::View(message).header.nlmsg_seq, 0u);
  EXPECT_EQ(payload[sizeof(xfrm_usersa_info)], 1);
  EXPECT_EQ(payload.size(), sizeof(xfrm_user_expire) + 8);
}

TEST(EncodeSpdInfoTest, CountsByDirection) {
  const auto message = EncodeSpdInfo(7, {.count = {1, 2, 3}, .of_sockets = {4, 5}}, {}, {});
  const auto payload = testing::View(message).payload();
  EXPECT_EQ(ReadAt<uint32_t>(payload), 7u);
  const auto info = ReadAt<xfrmu_spdinfo>(payload, 8).value();
  EXPECT_EQ(info.incnt, 1u);
  EXPECT_EQ(info.outcnt, 2u);
  EXPECT_EQ(info.fwdcnt, 3u);
}

}  // namespace
}  // namespace cygnet::xfrm
