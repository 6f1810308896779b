#include "xfrm/aevent_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/xfrm_messages.h"

namespace cygnet::xfrm {
namespace {

using testing::Bytes;
using testing::Esn;
using testing::Message;

Zeroed<xfrm_aevent_id> Id(uint32_t flags = 0) {
  Zeroed<xfrm_aevent_id> id;
  id->sa_id = *testing::SaKey(0x100);
  id->flags = flags;
  return id;
}

constexpr uint16_t kReplace = NLM_F_REQUEST | NLM_F_ACK | NLM_F_REPLACE;

Result<AeventChange> DecodeNew(Message& message) {
  const netlink::Buffer bytes = message.Finish();
  netlink::ExtendedAck ack;
  const auto request = ParseRequest(testing::View(bytes), ack);
  if (!request) return request.error();
  return DecodeNewAevent(*request);
}

SaSpec Spec() {
  SaSpec spec;
  spec.family = IpFamily::kV4;
  spec.saddr = ParseAddress("10.0.0.1")->address;
  spec.daddr = ParseAddress("10.0.0.2")->address;
  spec.spi = Spi(0x100);
  spec.proto = 50;
  spec.reqid = Reqid(7);
  return spec;
}

std::vector<int> AttributeTypes(const netlink::Buffer& message) {
  netlink::AttributeIterator iterator(
      testing::View(message).payload().subspan(sizeof(xfrm_aevent_id)));
  std::vector<int> types;
  while (const auto attribute = iterator.Next()) types.push_back(attribute->type);
  return types;
}

TEST(NewAeventTest, TakesWhatIsThereAndLeavesTheRest) {
  const auto aevent = DecodeNew(Message(RequestType::kNewAe, kReplace)
                                    .Put(Id())
                                    .Attr(XFRMA_MARK, xfrm_mark{.v = 0x13, .m = 0xf})
                                    .Attr(XFRMA_REPLAY_VAL, xfrm_replay_state{5, 6, 7})
                                    .Attr(XFRMA_REPLAY_THRESH, uint32_t{9}));
  ASSERT_TRUE(aevent.has_value()) << aevent.error().message;
  EXPECT_EQ(aevent->id.spi, Spi(0x100));
  EXPECT_EQ(aevent->replay->oseq, 5u);
  EXPECT_EQ(aevent->replay->seq, 6u);
  EXPECT_EQ(aevent->replay->bitmap, std::vector<uint32_t>{7});
  EXPECT_EQ(aevent->max_diff, 9u);
  EXPECT_FALSE(aevent->max_age.has_value());
  EXPECT_FALSE(aevent->usage.has_value());
}

TEST(NewAeventTest, TakesTheExtendedFormAndTheUsage) {
  const auto aevent = DecodeNew(Message(RequestType::kNewAe, kReplace)
                                    .Put(Id())
                                    .AttrBytes(XFRMA_REPLAY_ESN_VAL, Esn(2, 64, 0x100000005, 8))
                                    .Attr(XFRMA_LTIME_VAL, xfrm_lifetime_cur{1, 2, 3, 4})
                                    .Attr(XFRMA_ETIMER_THRESH, uint32_t{30}));
  ASSERT_TRUE(aevent.has_value()) << aevent.error().message;
  EXPECT_TRUE(aevent->replay->extended_form);
  EXPECT_EQ(aevent->replay->seq, 0x100000005u);
  EXPECT_EQ(aevent->replay->bitmap.size(), 2u);
  EXPECT_EQ(aevent->usage, (LifetimeUsage{1, 2, 3, 4}));
  EXPECT_EQ(aevent->max_age, 30u);
}

TEST(NewAeventTest, RefusesInKernelOrder) {
  const auto nothing = DecodeNew(Message(RequestType::kNewAe).Put(Id()));
  ASSERT_FALSE(nothing.has_value());
  EXPECT_EQ(nothing.error().message, "Missing required attribute for AE");
  const auto no_replace =
      DecodeNew(Message(RequestType::kNewAe).Put(Id()).Attr(XFRMA_REPLAY_THRESH, uint32_t{9}));
  ASSERT_FALSE(no_replace.has_value());
  EXPECT_EQ(no_replace.error().message, "NLM_F_REPLACE flag is required");
  Bytes cut = Esn(2, 64);
  cut.resize(cut.size() - 4);
  const auto too_short = DecodeNew(
      Message(RequestType::kNewAe, kReplace).Put(Id()).AttrBytes(XFRMA_REPLAY_ESN_VAL, cut));
  // Reported only after the SA is found: a missing SA is ESRCH for any attribute.
  ASSERT_TRUE(too_short.has_value() && too_short->replay_fault.has_value());
  EXPECT_EQ(too_short->replay_fault->message, "ESN attribute is too short");
  const auto too_wide = DecodeNew(
      Message(RequestType::kNewAe, kReplace).Put(Id()).AttrBytes(XFRMA_REPLAY_ESN_VAL, Esn(2, 65)));
  ASSERT_TRUE(too_wide.has_value() && too_wide->replay_fault.has_value());
  EXPECT_EQ(too_wide->replay_fault->message, "ESN replay window is longer than the bitmap");
  const auto huge = DecodeNew(Message(RequestType::kNewAe, kReplace)
                                  .Put(Id())
                                  .AttrBytes(XFRMA_REPLAY_ESN_VAL, Esn(129, 64)));
  EXPECT_TRUE(huge.has_value() && huge->replay_fault.has_value() && !huge->replay);
}

TEST(GetAeventTest, AnswersWithWhatTheFlagsAskFor) {
  const netlink::Buffer bytes =
      Message(RequestType::kGetAe).Put(Id(XFRM_AE_RTHR | XFRM_AE_ETHR | XFRM_AE_LVAL)).Finish();
  netlink::ExtendedAck ack;
  const auto request = ParseRequest(testing::View(bytes), ack);
  ASSERT_TRUE(request.has_value());
  const auto get = DecodeGetAevent(*request);
  ASSERT_TRUE(get.has_value());
  SaSpec spec = Spec();
  spec.direction = SaDirection::kOut;
  SaView view;
  view.spec = &spec;
  const auto answer =
      EncodeAevent(view, {.max_diff = 2, .max_age = 10}, get->flags, {.seq = 8, .pid = 0});
  EXPECT_THAT(AttributeTypes(answer),
              ::testing::ElementsAre(XFRMA_REPLAY_VAL, XFRMA_LTIME_VAL, XFRMA_REPLAY_THRESH,
                                     XFRMA_ETIMER_THRESH, kAttrSaDir));
  const auto id = *ReadAt<xfrm_aevent_id>(testing::View(answer).payload());
  EXPECT_EQ(id.flags, XFRM_AE_RTHR | XFRM_AE_ETHR | XFRM_AE_LVAL);
  EXPECT_EQ(id.reqid, 7u);
  EXPECT_EQ(be32::FromRaw(id.sa_id.spi).value(), 0x100u);
  EXPECT_EQ(testing::View(answer).header.nlmsg_type, XFRM_MSG_NEWAE);
}

TEST(AeventChangeTest, SaysWhyAndLeavesThresholdsOut) {
  const SaSpec spec = Spec();
  SaView view;
  view.spec = &spec;
  view.replay.extended_form = true;
  constexpr std::pair<AeventCause, uint32_t> kCauses[] = {
      {AeventCause::kSequence, 16}, {AeventCause::kTimer, 32}, {AeventCause::kUpdate, 64}};
  for (const auto& [cause, flag] : kCauses) {
    const auto event = EncodeAeventChange(view, cause, {});
    EXPECT_EQ(ReadAt<xfrm_aevent_id>(testing::View(event).payload())->flags, flag);
    EXPECT_THAT(AttributeTypes(event),
                ::testing::ElementsAre(XFRMA_REPLAY_ESN_VAL, XFRMA_LTIME_VAL));
  }
}

TEST(MappingTest, NamesOldAndNewAddressAndPort) {
  SaSpec spec = Spec();
  spec.encap = UdpEncap{.sport = 4500, .dport = 4501, .original_address = {}};
  const auto message = EncodeMapping(
      {.spec = spec, .new_saddr = ParseAddress("10.0.0.9")->address, .new_sport = 1024});
  EXPECT_EQ(message.size(), netlink::kHeaderSize + sizeof(xfrm_user_mapping));
  EXPECT_EQ(testing::View(message).header.nlmsg_type, XFRM_MSG_MAPPING);
  const auto wire = *ReadAt<xfrm_user_mapping>(testing::View(message).payload());
  EXPECT_EQ(FromWire(wire.old_saddr, IpFamily::kV4), spec.saddr);
  EXPECT_EQ(FromWire(wire.new_saddr, IpFamily::kV4), ParseAddress("10.0.0.9")->address);
  EXPECT_EQ(be16::FromRaw(wire.old_sport).value(), 4500);
  EXPECT_EQ(be16::FromRaw(wire.new_sport).value(), 1024);
  EXPECT_EQ(wire.reqid, 7u);
}

}  // namespace
}  // namespace cygnet::xfrm
