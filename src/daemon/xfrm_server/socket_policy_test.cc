// setsockopt(IP_XFRM_POLICY) as a message of the transport: it refuses what the kernel refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/xfrm_messages.h"
#include "support/xfrm_server_fixture.h"
#include "xfrm/socket_policy_message.h"

namespace cygnet::test {
namespace {

using ::testing::SizeIs;
using xfrm::testing::PolicyInfo;

constexpr transport::SocketPolicyPayload kUdp4{
    .cookie = 77, .family = 2, .protocol = 17, .port = 5500, .flags = 0};

netlink::Buffer Tell(const transport::SocketPolicyPayload& head, std::span<const uint8_t> value) {
  netlink::MessageBuilder builder(
      {.type = transport::kSocketPolicy, .flags = NLM_F_REQUEST | NLM_F_ACK, .seq = 3});
  builder.Put(head);
  builder.PutBytes(value);
  return std::move(builder).Finish();
}

class SocketPolicyMessageTest : public testing::Test {
 protected:
  int Ask(const netlink::Buffer& message) {
    const auto client = harness_.Connect();
    const auto answers = harness_.Ask(*client, message);
    EXPECT_THAT(answers, SizeIs(1));
    return answers.empty() ? -1 : ErrnoOf(answers[0]);
  }
  int Ask(std::span<const uint8_t> value) { return Ask(Tell(kUdp4, value)); }

  XfrmServerHarness harness_;
};

TEST_F(SocketPolicyMessageTest, IsTakenIn) {
  EXPECT_EQ(Ask(PolicyInfo().bytes()), 0);
  const SocketPolicyChange& change = harness_.control.last_socket_change;
  EXPECT_EQ(change.cookie, 77u);
  EXPECT_EQ(change.family, IpFamily::kV4);
  EXPECT_EQ(change.proto, 17);
  EXPECT_EQ(change.port, 5500);
  EXPECT_FALSE(change.retold);
  ASSERT_TRUE(change.spec.has_value());
  EXPECT_EQ(change.spec->direction, PolicyDirection::kOut);
  transport::SocketPolicyPayload again = kUdp4;
  again.flags = transport::kRetold;
  EXPECT_EQ(Ask(Tell(again, {})), 0);
  EXPECT_TRUE(harness_.control.last_socket_change.retold);
  EXPECT_FALSE(harness_.control.last_socket_change.spec.has_value());
}

TEST_F(SocketPolicyMessageTest, IsRefusedAsTheKernelRefuses) {
  auto info = PolicyInfo();
  EXPECT_EQ(Ask(info.bytes().first(100)), EINVAL);
  info->dir = XFRM_POLICY_FWD;
  EXPECT_EQ(Ask(info.bytes()), EINVAL);
  info->dir = 3;
  EXPECT_EQ(Ask(info.bytes()), EINVAL);
  info = PolicyInfo();
  info->index = 8;  // belongs to another direction
  EXPECT_EQ(Ask(info.bytes()), EINVAL);
  info->index = 9;
  EXPECT_EQ(Ask(info.bytes()), 0);
  Bytes with_templates(info.bytes().begin(), info.bytes().end());
  const auto tmpl = xfrm::testing::TunnelTemplate();
  for (int i = 0; i < 7; ++i) {
    with_templates.insert(with_templates.end(), tmpl.bytes().begin(), tmpl.bytes().end());
  }
  EXPECT_EQ(Ask(with_templates), EINVAL);
  transport::SocketPolicyPayload head = kUdp4;
  head.family = 1;
  EXPECT_EQ(Ask(Tell(head, info.bytes())), EOPNOTSUPP);
  head = kUdp4;
  head.protocol = 262;  // MPTCP
  EXPECT_EQ(Ask(Tell(head, info.bytes())), EOPNOTSUPP);
}

TEST_F(SocketPolicyMessageTest, IsShownAsTheKernelShowsIt) {
  ASSERT_EQ(Ask(PolicyInfo().bytes()), 0);
  const auto client = harness_.Connect();
  const auto dump =
      xfrm::testing::Message(xfrm::RequestType::kGetPolicy, NLM_F_REQUEST | NLM_F_DUMP, 1).Finish();
  const auto answers = harness_.Ask(*client, dump);
  ASSERT_THAT(answers, SizeIs(2));
  const auto info = ReadAt<xfrm_userpolicy_info>(answers[0], netlink::kHeaderSize);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->dir, XFRM_POLICY_MAX + XFRM_POLICY_OUT);
  const auto ask = xfrm::testing::Message(xfrm::RequestType::kGetSpdInfo, NLM_F_REQUEST)
                       .Put(uint32_t{0})
                       .Finish();
  const auto counts = harness_.Ask(*client, ask);
  ASSERT_THAT(counts, SizeIs(1));
  const auto spd = ReadAt<xfrmu_spdinfo>(counts[0], netlink::kHeaderSize + 4 + 4);
  ASSERT_TRUE(spd.has_value());
  EXPECT_EQ(spd->outscnt, 1u);
  EXPECT_EQ(spd->inscnt + spd->fwdscnt + spd->incnt + spd->outcnt + spd->fwdcnt, 0u);
}

}  // namespace
}  // namespace cygnet::test
