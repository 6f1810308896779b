#include "xfrm/migrate_message.h"

#include <gtest/gtest.h>

#include "support/xfrm_messages.h"

namespace cygnet::xfrm {
namespace {

using testing::Address;
using testing::Message;
using testing::View;

Zeroed<xfrm_user_migrate> Entry(const char* old_daddr = "10.0.0.2") {
  Zeroed<xfrm_user_migrate> wire;
  wire->old_saddr = Address("10.0.0.1");
  wire->old_daddr = Address(old_daddr);
  wire->new_saddr = Address("10.0.0.3");
  wire->new_daddr = Address("10.0.0.4");
  wire->proto = 50;
  wire->mode = XFRM_MODE_TUNNEL;
  wire->reqid = 1;
  wire->old_family = wire->new_family = 2;
  return wire;
}

Request Parse(const netlink::Buffer& buffer) {
  netlink::ExtendedAck ack;
  return *ParseRequest(View(buffer), ack);
}

netlink::Buffer Migrate(std::initializer_list<Zeroed<xfrm_user_migrate>> entries) {
  testing::Bytes all;
  for (const auto& entry : entries) {
    all.insert(all.end(), entry.bytes().begin(), entry.bytes().end());
  }
  return Message(RequestType::kMigrate)
      .Put(testing::PolicyKey())
      .AttrBytes(XFRMA_MIGRATE, all)
      .Finish();
}

TEST(MigrateMessageTest, WhatIsTakenInComesOutAgain) {
  Zeroed<xfrm_user_kmaddress> km;
  km->local = Address("10.0.0.7");
  km->remote = Address("10.0.0.8");
  km->family = 2;
  Zeroed<xfrm_encap_tmpl> encap;
  encap->encap_type = 2;
  encap->encap_sport = 0x1194;
  const auto buffer = Message(RequestType::kMigrate, NLM_F_REQUEST, 5, 6)
                          .Put(testing::PolicyKey())
                          .AttrBytes(XFRMA_KMADDRESS, km.bytes())
                          .AttrBytes(XFRMA_ENCAP, encap.bytes())
                          .AttrBytes(XFRMA_MIGRATE, Entry().bytes())
                          .Finish();
  const auto migration = DecodeMigrate(Parse(buffer));
  ASSERT_TRUE(migration.has_value());
  const auto event = EncodeMigrated(*migration);
  const Request again = Parse(event);
  EXPECT_EQ(again.message.header.nlmsg_seq, 0u);
  EXPECT_EQ(again.message.header.nlmsg_pid, 0u);
  for (const uint16_t type : {XFRMA_KMADDRESS, XFRMA_ENCAP, XFRMA_MIGRATE}) {
    const auto in = Parse(buffer).attributes.Payload(type);
    const auto out = again.attributes.Payload(type);
    EXPECT_TRUE(std::equal(in.begin(), in.end(), out.begin(), out.end())) << type;
  }
  EXPECT_TRUE(again.attributes.Has(XFRMA_POLICY_TYPE));
}

TEST(MigrateMessageTest, RefusesAsTheKernel) {
  const auto error = [](const netlink::Buffer& buffer) {
    return DecodeMigrate(Parse(buffer)).error().message;
  };
  EXPECT_EQ(error(Message(RequestType::kMigrate).Put(testing::PolicyKey()).Finish()),
            "Missing required MIGRATE attribute");
  EXPECT_EQ(error(Migrate({Entry(), Entry()})),
            "Entries in the MIGRATE attribute's list must be unique");
  auto to_nowhere = Entry();
  to_nowhere->new_daddr = {};
  EXPECT_EQ(error(Migrate({to_nowhere})),
            "Addresses in the MIGRATE attribute's list cannot be null");
  to_nowhere->new_family = 0;
  EXPECT_TRUE(DecodeMigrate(Parse(Migrate({to_nowhere}))).has_value());
  EXPECT_EQ(
      error(Migrate({Entry("10.0.1.1"), Entry("10.0.1.2"), Entry("10.0.1.3"), Entry("10.0.1.4"),
                     Entry("10.0.1.5"), Entry("10.0.1.6"), Entry("10.0.1.7")})),
      "Invalid number of SAs to migrate, must be 0 < num <= XFRM_MAX_DEPTH (6)");
}

TEST(AcquireMessageTest, IsTheTemplatesAndTheRequestsAlgorithms) {
  Zeroed<xfrm_user_acquire> wire;
  wire->policy = *testing::PolicyInfo();
  wire->policy.dir = XFRM_POLICY_IN;
  wire->saddr = Address("10.0.0.9");
  wire->aalgos = 0xfeed;
  const auto buffer = Message(RequestType::kAcquire)
                          .Put(wire)
                          .AttrBytes(XFRMA_TMPL, testing::TunnelTemplate().bytes())
                          .Finish();
  auto request = DecodeAcquire(Parse(buffer));
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->aalgos, 0xfeedu);
  request->policy.templates[0].aalgos = request->aalgos;
  const auto event = EncodeAcquireRequested({*request, 0, 33});
  const auto sent = Parse(event).Fixed<xfrm_user_acquire>();
  EXPECT_EQ(std::memcmp(&sent.id.daddr, &testing::TunnelTemplate()->id.daddr, 16), 0);
  EXPECT_EQ(std::memcmp(&sent.saddr, &wire->saddr, 16), 0);
  EXPECT_EQ(sent.policy.dir, XFRM_POLICY_OUT) << "regardless of the request, like the kernel";
  EXPECT_EQ(sent.aalgos, 0xfeedu);
  EXPECT_EQ(sent.seq, 33u);
}

TEST(AcquireMessageTest, RefusesAsNewPolicyDoes) {
  Zeroed<xfrm_user_acquire> wire;
  wire->policy = *testing::PolicyInfo();
  wire->policy.share = 9;
  EXPECT_EQ(DecodeAcquire(Parse(Message(RequestType::kAcquire).Put(wire).Finish())).error().message,
            "Invalid policy share");
}

}  // namespace
}  // namespace cygnet::xfrm
