// The forms of an answer. The vectors of daemon/ compare the bytes with a kernel's.
#include "netlink/ack.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "netlink/attribute.h"
#include "netlink/builder.h"

namespace cygnet::netlink {
namespace {

class BuildAckTest : public ::testing::Test {
 protected:
  BuildAckTest() {
    MessageBuilder builder({.type = 0x11, .flags = NLM_F_REQUEST, .seq = 5, .pid = 6});
    builder.Put(uint64_t{0x1122334455667788});
    bytes_ = std::move(builder).Finish();
    request_ = {*ReadAt<nlmsghdr>(bytes_), bytes_};
  }

  nlmsghdr Build(int error, const ExtendedAck& ack, AckOptions options) {
    answer_ = BuildAck(request_, error, ack, options, 99);
    return *ReadAt<nlmsghdr>(answer_);
  }

  Buffer bytes_;
  MessageView request_;
  Buffer answer_;
};

TEST_F(BuildAckTest, SuccessEchoesTheHeaderOnly) {
  const nlmsghdr header = Build(0, {}, {});
  EXPECT_EQ(header.nlmsg_len, 36u);
  EXPECT_EQ(header.nlmsg_flags, NLM_F_CAPPED);
  EXPECT_EQ(header.nlmsg_seq, 5u);
  EXPECT_EQ(header.nlmsg_pid, 99u);
}

TEST_F(BuildAckTest, ErrorEchoesTheRequestUnlessCapped) {
  EXPECT_EQ(Build(22, {}, {}).nlmsg_len, 44u);
  EXPECT_EQ(ReadAt<int32_t>(answer_, kHeaderSize), -22);
  const nlmsghdr capped = Build(22, {}, {.capped = true});
  EXPECT_EQ(capped.nlmsg_len, 36u);
  EXPECT_EQ(capped.nlmsg_flags, NLM_F_CAPPED);
}

TEST_F(BuildAckTest, TextGoesOnlyToThoseWhoAsked) {
  ExtendedAck ack;
  ack.message = "no";
  EXPECT_EQ(Build(22, ack, {}).nlmsg_flags, 0);
  const nlmsghdr header = Build(22, ack, {.extended = true});
  EXPECT_EQ(header.nlmsg_flags, NLM_F_ACK_TLVS);
  EXPECT_EQ(header.nlmsg_len, 44u + 8u);
}

TEST_F(BuildAckTest, SuccessHasNoOffset) {
  static constexpr AttributeRule kRule{.kind = AttributeKind::kU32};
  const ExtendedAck ack{.message = {}, .attr_offset = 16, .rule = &kRule};
  EXPECT_EQ(Build(0, ack, {.extended = true}).nlmsg_len, 36u);
  EXPECT_EQ(Build(34, ack, {.extended = true}).nlmsg_len, 44u + 8u + 36u);
}

TEST(BuildDoneTest, CarriesTheErrorAsStatus) {
  const Buffer done = BuildDone(3, 22, {}, {}, 9);
  EXPECT_EQ(done.size(), 20u);
  EXPECT_EQ(ReadAt<nlmsghdr>(done)->nlmsg_type, NLMSG_DONE);
  EXPECT_EQ(ReadAt<nlmsghdr>(done)->nlmsg_flags, NLM_F_MULTI);
  EXPECT_EQ(ReadAt<int32_t>(done, kHeaderSize), -22);
}

}  // namespace
}  // namespace cygnet::netlink
