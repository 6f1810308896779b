#include "xfrm/kernel_watch.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "xfrm/protocol.h"

namespace cygnet::xfrm {
namespace {

template <typename T>
std::vector<uint8_t> Message(uint16_t type, const T& body, uint32_t pid = 0) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<uint32_t>(sizeof(header) + sizeof(body));
  header.nlmsg_type = type;
  header.nlmsg_pid = pid;
  std::vector<uint8_t> bytes(header.nlmsg_len);
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), &body, sizeof(body));
  return bytes;
}

xfrm_usersa_info SampleSa() {
  xfrm_usersa_info info{};
  info.family = AF_INET;
  info.id.daddr.a4 = htonl(0xc0000202);
  info.id.spi = htonl(0x1000);
  info.id.proto = IPPROTO_ESP;
  return info;
}

TEST(KernelWatchTest, SaysWhatAndWho) {
  EXPECT_EQ(DescribeKernelMessage(Message(XFRM_MSG_NEWSA, SampleSa(), 4711)),
            "new SA to 192.0.2.2 spi 0x00001000, by a client that calls itself process 4711");
  xfrm_userpolicy_info policy{};
  policy.sel.family = AF_INET;
  policy.sel.daddr.a4 = htonl(0x0a020000);
  policy.sel.prefixlen_d = 16;
  const auto text = DescribeKernelMessage(Message(XFRM_MSG_NEWPOLICY, policy));
  ASSERT_TRUE(text.has_value());
  EXPECT_NE(text->find("new policy "), std::string::npos);
  EXPECT_NE(text->find("10.2.0.0/16"), std::string::npos);
  EXPECT_EQ(text->find("process"), std::string::npos);
}

TEST(KernelWatchTest, WhatIsNoProgrammingIsNoNews) {
  xfrm_user_expire expire{};
  EXPECT_EQ(DescribeKernelMessage(Message(XFRM_MSG_EXPIRE, expire)), std::nullopt);
}

TEST(KernelWatchTest, ACutMessageIsSaidWithoutWhatIsMissing) {
  const std::vector<uint8_t> whole = Message(XFRM_MSG_NEWSA, SampleSa());
  for (std::size_t n = 0; n < whole.size(); ++n) {
    std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    if (n >= sizeof(nlmsghdr)) {
      const auto length = static_cast<uint32_t>(n);
      std::memcpy(cut.data(), &length, sizeof(length));
    }
    const auto text = DescribeKernelMessage(cut);
    EXPECT_EQ(text.has_value(), n >= sizeof(nlmsghdr)) << n;
    EXPECT_EQ(text.value_or("new SA"), "new SA") << n;
  }
}

}  // namespace
}  // namespace cygnet::xfrm
