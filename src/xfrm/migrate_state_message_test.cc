#include "xfrm/migrate_state_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "support/xfrm_messages.h"

namespace cygnet::xfrm {
namespace {

using testing::Address;
using testing::Bytes;
using ::testing::HasSubstr;
using testing::Message;
using testing::View;

Zeroed<MigrateState> State() {
  Zeroed<MigrateState> wire;
  wire->id = *testing::SaKey(0x100);
  wire->new_saddr = Address("10.0.0.3");
  wire->new_daddr = Address("10.0.0.4");
  wire->new_reqid = 7;
  wire->new_family = 2;
  return wire;
}

using Edit = std::function<void(MigrateState&)>;
using Fill = std::function<void(Message&)>;

netlink::Buffer Build(const Edit& edit = {}, const Fill& fill = {}) {
  auto wire = State();
  if (edit) edit(*wire);
  Message message(RequestType::kMigrateState, NLM_F_REQUEST, 5, 6);
  message.Put(wire);
  if (fill) fill(message);
  return message.Finish();
}

Result<SaMigration> Decode(const netlink::Buffer& buffer) {
  netlink::ExtendedAck ack;
  const auto request = ParseRequest(View(buffer), ack);
  if (!request) return request.error();
  return DecodeMigrateState(*request);
}

Error ErrorOf(const Edit& edit, const Fill& fill = {}) {
  const auto result = Decode(Build(edit, fill));
  return result ? MakeError(Errc::kBusy, "was accepted") : result.error();
}

Bytes Encap(uint16_t type) {
  Zeroed<xfrm_encap_tmpl> wire;
  wire->encap_type = type;
  wire->encap_sport = be16(4500).raw();
  wire->encap_dport = be16(4501).raw();
  return {wire.bytes().begin(), wire.bytes().end()};
}

Bytes Offload(int32_t ifindex, uint8_t flags) {
  Zeroed<xfrm_user_offload> wire;
  wire->ifindex = ifindex;
  wire->flags = flags;
  return {wire.bytes().begin(), wire.bytes().end()};
}

TEST(MigrateStateMessageTest, TheFixedPartNamesTheSaAndItsNewPlace) {
  const auto migration = Decode(Build([](MigrateState& s) {
    s.new_sel = *testing::NetworkSelector();
    s.flags = kMigrateClearOffload;
  }));
  ASSERT_TRUE(migration.has_value());
  EXPECT_EQ(migration->id.spi, Spi(0x100));
  EXPECT_EQ(migration->id.proto, 50);
  EXPECT_EQ(ToString(migration->id.daddr, IpFamily::kV4), "10.0.0.2");
  EXPECT_EQ(ToString(migration->new_saddr, IpFamily::kV4), "10.0.0.3");
  EXPECT_EQ(ToString(migration->new_daddr, IpFamily::kV4), "10.0.0.4");
  EXPECT_EQ(migration->new_reqid, Reqid(7));
  ASSERT_TRUE(migration->selector.has_value());
  EXPECT_EQ(migration->selector->prefixlen_d, 24);
  EXPECT_TRUE(migration->clears_offload);
  EXPECT_FALSE(migration->encap || migration->offload || migration->mapping_max_age ||
               migration->nat_keepalive);
}

TEST(MigrateStateMessageTest, AnAttributeReplacesWhatTheSaHas) {
  const auto migration =
      Decode(Build([](MigrateState& s) { s.flags = kMigrateUpdateHostSelector; },
                   [](Message& m) {
                     m.AttrBytes(XFRMA_ENCAP, Encap(2));
                     m.Attr(XFRMA_MTIMER_THRESH, uint32_t{9});
                     m.Attr(kAttrNatKeepalive, uint32_t{20});
                     m.AttrBytes(XFRMA_OFFLOAD_DEV, Offload(3, XFRM_OFFLOAD_INBOUND));
                     m.Attr(XFRMA_MARK, xfrm_mark{.v = 7, .m = 0xff});
                     m.Attr(XFRMA_SET_MARK, uint32_t{8});
                     m.Attr(XFRMA_SET_MARK_MASK, uint32_t{0xf});
                   }));
  ASSERT_TRUE(migration.has_value()) << migration.error().message;
  EXPECT_FALSE(migration->selector.has_value());
  EXPECT_EQ(migration->encap->dport, 4501);
  EXPECT_EQ(migration->mapping_max_age, 9u);
  EXPECT_EQ(migration->nat_keepalive, 20u);
  EXPECT_EQ(migration->offload->ifindex, 3);
  EXPECT_TRUE(migration->offload->inbound);
  EXPECT_EQ(migration->mark->value, 7u);
  EXPECT_EQ(migration->mark->mask, 0xffu);
  EXPECT_EQ(migration->set_mark->value, 8u);
  EXPECT_EQ(migration->set_mark->mask, 0xfu);
}

TEST(MigrateStateMessageTest, AMarkIsPartOfTheName) {
  const auto migration = Decode(Build([](MigrateState& s) { s.old_mark = {.v = 0x17, .m = 0xf}; }));
  ASSERT_TRUE(migration.has_value());
  EXPECT_EQ(migration->id.mark, 7u) << "as xfrm_mark_get";
  EXPECT_FALSE(migration->mark.has_value()) << "what the request does not name stays";
}

// Numbers and texts of xfrm_do_migrate_state (Linux 7.2), in its order.
TEST(MigrateStateMessageTest, RefusesAsTheKernel) {
  const auto text = [](const Edit& edit) { return ErrorOf(edit).message; };
  EXPECT_EQ(text([](MigrateState& s) { s.id.spi = 0; }), "Invalid SPI 0x0");
  EXPECT_EQ(text([](MigrateState& s) { s.reserved = 1; }), "Reserved field must be zero");
  EXPECT_EQ(text([](MigrateState& s) { s.flags = 0x85; }), "Unknown flags: 0x84");
  EXPECT_EQ(text([](MigrateState& s) { s.new_family = 3; }), "Invalid address family");
  EXPECT_EQ(text([](MigrateState& s) { s.new_sel.family = 3; }),
            "Invalid address family in selector");
  EXPECT_EQ(text([](MigrateState& s) {
              s.new_sel.family = 2;
              s.new_sel.prefixlen_s = 33;
            }),
            "Invalid prefix length in selector (must be <= 32 for IPv4)");
  EXPECT_THAT(ErrorOf([](MigrateState& s) { s.flags = kMigrateClearOffload; },
                      [](Message& m) { m.AttrBytes(XFRMA_OFFLOAD_DEV, Offload(3, 0)); })
                  .message,
              HasSubstr("exclude each other"));
  EXPECT_EQ(ErrorOf({}, [](Message& m) { m.Attr(kAttrSaDir, uint8_t{1}); }).message,
            "Invalid attribute SA_DIR");
}

TEST(MigrateStateMessageTest, AnyOtherAttributeIsAnErrorThatShowsItsPlace) {
  const Error error = ErrorOf({}, [](Message& m) {
    m.Attr(XFRMA_MARK, xfrm_mark{});
    m.Attr(XFRMA_TFCPAD, uint32_t{5});
  });
  EXPECT_EQ(error.code, Errc::kInvalid);
  EXPECT_EQ(error.message, "Unsupported attribute in XFRM_MSG_MIGRATE_STATE");
  EXPECT_EQ(error.attr_offset, 16u + 132 + 12) << "behind the mark";
}

TEST(MigrateStateMessageTest, WhatCannotBeEnforcedIsRefused) {
  EXPECT_EQ(ErrorOf([](MigrateState& s) { s.new_sel.user = 1000; }).code, Errc::kNotSupported);
}

TEST(MigrateStateMessageTest, TheEventHasTheRequestAndTheSaAsItIsNow) {
  const auto migration =
      Decode(Build([](MigrateState& s) { s.flags = kMigrateUpdateHostSelector; }));
  SaSpec spec;
  spec.selector = FromWire(*testing::NetworkSelector());
  spec.encap = UdpEncap{.sport = 1, .dport = 2, .original_address = {}};
  spec.rare.Change()->mapping_max_age = 9;
  spec.direction = SaDirection::kIn;
  SaView moved;
  moved.spec = &spec;
  moved.offload = OffloadRequest{.mode = OffloadMode::kCrypto, .ifindex = 3, .inbound = true};
  const auto event = EncodeSaMigrated(*migration, moved, {.seq = 5, .pid = 6});
  const auto view = View(event);
  EXPECT_EQ(view.header.nlmsg_type, 0x29);
  EXPECT_EQ(view.header.nlmsg_seq, 5u);
  EXPECT_EQ(view.header.nlmsg_pid, 6u);
  const auto sent = *ReadAt<MigrateState>(view.payload(), 0);
  EXPECT_EQ(std::memcmp(&sent.new_daddr, &State()->new_daddr, 16), 0);
  EXPECT_EQ(std::memcmp(&sent.id, State().bytes().data(), sizeof(sent.id)), 0);
  EXPECT_EQ(sent.flags, kMigrateUpdateHostSelector);
  EXPECT_EQ(sent.new_sel.prefixlen_d, 24) << "of the SA, not of the request";
  netlink::AttributeIterator attributes(view.payload().subspan(sizeof(MigrateState)));
  std::vector<uint16_t> types;
  while (const auto attribute = attributes.Next()) types.push_back(attribute->type);
  EXPECT_EQ(types, (std::vector<uint16_t>{XFRMA_ENCAP, XFRMA_OFFLOAD_DEV, XFRMA_MTIMER_THRESH,
                                          kAttrSaDir}));
}

TEST(MigrateStateMessageTest, TheEventShowsThatEncapsulationWasRemoved) {
  const auto migration = Decode(Build({}, [](Message& m) { m.AttrBytes(XFRMA_ENCAP, Encap(0)); }));
  const SaSpec spec;
  SaView moved;
  moved.spec = &spec;
  const auto event = EncodeSaMigrated(*migration, moved, {});
  netlink::ExtendedAck ack;
  const auto again = DecodeMigrateState(*ParseRequest(View(event), ack));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->encap->type, 0);
}

}  // namespace
}  // namespace cygnet::xfrm
