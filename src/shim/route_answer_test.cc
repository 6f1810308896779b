// What programs see of the kernel's messages about interfaces.
#include "shim/route_answer.h"

#include <gtest/gtest.h>
#include <linux/if_link.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string>

#include "base/bytes.h"
#include "netlink/attribute.h"
#include "netlink/builder.h"
#include "netlink/message.h"

namespace cygnet::shim {
namespace {

using netlink::Buffer;
using netlink::FindAttribute;

std::string TextOf(std::span<const uint8_t> payload) {
  return {payload.begin(), std::find(payload.begin(), payload.end(), uint8_t{0})};
}

std::span<const uint8_t> WithNul(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.c_str()), text.size() + 1};
}

// As the kernel describes a TUN interface.
Buffer TunLink(const std::string& alias, const std::string& kind = "tun") {
  netlink::MessageBuilder message({.type = RTM_NEWLINK, .flags = 0, .seq = 5, .pid = 9});
  ifinfomsg link{};
  link.ifi_index = 12;
  message.Put(link);
  const std::string name = "ipsec1";
  message.AttributeBytes(IFLA_IFNAME, WithNul(name));
  const std::size_t info = message.BeginNest(IFLA_LINKINFO);
  message.AttributeBytes(IFLA_INFO_KIND, WithNul(kind));
  const std::size_t data = message.BeginNest(IFLA_INFO_DATA);
  for (uint16_t type = 3; type <= 7; ++type) message.Attribute(type, uint8_t{1});
  message.EndNest(data);
  message.EndNest(info);
  message.AttributeBytes(IFLA_IFALIAS, WithNul(alias));
  return std::move(message).Finish();
}

constexpr char kMark[] = "cygnet-tunnel if_id=42 link=7 dev=nic0 by=ip[1]";

std::span<const uint8_t> AttributesOf(const Buffer& message) {
  return std::span<const uint8_t>(message).subspan(NLMSG_HDRLEN + sizeof(ifinfomsg));
}

TEST(RouteAnswer, ShowsATunnelAsXfrm) {
  Buffer message = TunLink(kMark);
  const std::size_t size = message.size();
  ShowAnswers(message.data(), message.size(), AnswerForm::kPlain);
  EXPECT_EQ(message.size(), size);
  const auto attributes = AttributesOf(message);
  EXPECT_EQ(TextOf(FindAttribute(attributes, IFLA_IFNAME)), "ipsec1");
  EXPECT_EQ(TextOf(FindAttribute(attributes, IFLA_IFALIAS)), kMark);
  EXPECT_EQ(ReadAt<uint32_t>(FindAttribute(attributes, IFLA_LINK)), 7u);
  const auto info = FindAttribute(attributes, IFLA_LINKINFO);
  EXPECT_EQ(TextOf(FindAttribute(info, IFLA_INFO_KIND)), "xfrm");
  const auto data = FindAttribute(info, IFLA_INFO_DATA);
  EXPECT_EQ(ReadAt<uint32_t>(FindAttribute(data, IFLA_XFRM_LINK)), 7u);
  EXPECT_EQ(ReadAt<uint32_t>(FindAttribute(data, IFLA_XFRM_IF_ID)), 42u);
}

TEST(RouteAnswer, LeavesOtherInterfacesAlone) {
  for (const Buffer& other :
       {TunLink("cygnet esp-hw-offload"), TunLink("cygnet-tunnel"), TunLink(""),
        TunLink("cygnet-tunnel if_id=0 link=7"), TunLink("cygnet-tunnel if_id=99999999999"),
        TunLink("cygnet-tunnels if_id=1"), TunLink(kMark, "dummy")}) {
    Buffer shown = other;
    ShowAnswers(shown.data(), shown.size(), AnswerForm::kPlain);
    EXPECT_EQ(shown, other);
  }
}

TEST(RouteAnswer, LeavesCutMessagesAlone) {
  const Buffer whole = TunLink(kMark);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Buffer cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const Buffer before = cut;
    ShowAnswers(cut.data(), cut.size(), AnswerForm::kPlain);
    EXPECT_EQ(cut, before) << size;
  }
}

// The kernel's answer to the request that stands for a refusal.
Buffer Answer(const Refusal& refusal, bool capped) {
  netlink::MessageBuilder message({.type = NLMSG_ERROR, .flags = 0, .seq = 5, .pid = 9});
  message.Put(int32_t{-EINVAL});
  const auto* bytes = reinterpret_cast<const uint8_t*>(&refusal);
  message.PutBytes({bytes, capped ? sizeof(nlmsghdr) : refusal.header.nlmsg_len});
  return std::move(message).Finish();
}

const nlmsghdr kRefused{.nlmsg_len = 88,
                        .nlmsg_type = RTM_NEWLINK,
                        .nlmsg_flags = 0x605,
                        .nlmsg_seq = 5,
                        .nlmsg_pid = 3};

TEST(RouteAnswer, RefusesWithTheText) {
  for (const std::string& text : {std::string("t1 has if_id 1"), std::string(255, 'x')}) {
    Buffer message = Answer(MakeRefusal(kRefused, EEXIST, text.c_str()), false);
    ShowAnswers(message.data(), message.size(), AnswerForm::kExtended);
    const auto header = *ReadAt<nlmsghdr>(message);
    const auto error = *ReadAt<nlmsgerr>(message, sizeof(header));
    EXPECT_EQ(header.nlmsg_flags, NLM_F_CAPPED | NLM_F_ACK_TLVS);
    EXPECT_EQ(header.nlmsg_len, message.size());
    EXPECT_EQ(error.error, -EEXIST);
    EXPECT_EQ(memcmp(&error.msg, &kRefused, sizeof(kRefused)), 0);
    const auto attributes =
        std::span<const uint8_t>(message).subspan(sizeof(header) + sizeof(error));
    EXPECT_EQ(TextOf(FindAttribute(attributes, NLMSGERR_ATTR_MSG)), text);
  }
}

TEST(RouteAnswer, RefusesWithoutTextIfItIsNotWanted) {
  for (const bool capped : {false, true}) {
    Buffer message = Answer(MakeRefusal(kRefused, EEXIST, "text"), capped);
    ShowAnswers(message.data(), message.size(), AnswerForm::kPlain);
    EXPECT_EQ(ReadAt<nlmsghdr>(message)->nlmsg_flags, NLM_F_CAPPED);
    EXPECT_EQ(ReadAt<nlmsgerr>(message, sizeof(nlmsghdr))->error, -EEXIST);
    EXPECT_EQ(ReadAt<nlmsgerr>(message, sizeof(nlmsghdr))->msg.nlmsg_type, RTM_NEWLINK);
  }
}

TEST(RouteAnswer, LeavesOtherErrorsAlone) {
  Refusal other = MakeRefusal(kRefused, EEXIST, "text");
  other.header.nlmsg_flags = NLM_F_REQUEST;  // a program's own RTM_GETLINK
  const Buffer before = Answer(other, false);
  Buffer after = before;
  ShowAnswers(after.data(), after.size(), AnswerForm::kExtended);
  EXPECT_EQ(after, before);
}

}  // namespace
}  // namespace cygnet::shim
