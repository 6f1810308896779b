#include "daemon/audit/xfrm_audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "netlink/message.h"
#include "xfrm/event_message.h"
#include "xfrm/info_message.h"
#include "xfrm/policy_message.h"

namespace cygnet {
namespace {

using testing::HasSubstr;

// The audit text of a client's message.
std::string Said(const netlink::Buffer& bytes) {
  std::span<const uint8_t> rest(bytes);
  const auto message = netlink::NextMessage(rest);
  if (!message) return "not a message";
  netlink::ExtendedAck ack;
  const auto request = xfrm::ParseRequest(*message, ack);
  if (!request) return "not a request";
  const auto record = RecordOf(*request);
  return record ? record->text() : "";
}

PolicySpec SomePolicy() {
  PolicySpec spec;
  spec.selector.family = IpFamily::kV4;
  spec.selector.daddr = ParseAddress("10.2.0.0")->address;
  spec.selector.prefixlen_d = 16;
  spec.priority = 77;
  return spec;
}

TEST(XfrmAudit, PoliciesAreToldAsTheyWereUnderstood) {
  PolicySpec spec = SomePolicy();
  EXPECT_THAT(Said(xfrm::EncodePolicyUpdated({spec, {}}, {})),
              testing::AllOf(HasSubstr("policy update dir out"), HasSubstr("10.2.0.0/16"),
                             HasSubstr("action allow priority 77 (in clear)")));
  spec.action = PolicyAction::kBlock;
  EXPECT_THAT(Said(xfrm::EncodePolicyUpdated({spec, {}}, {})), HasSubstr("action block"));
  EXPECT_THAT(Said(xfrm::EncodePolicyDeleted({spec, {}}, IdOf(spec), {})),
              HasSubstr("policy delete dir out"));
}

TEST(XfrmAudit, FlushesAreTold) {
  EXPECT_EQ(Said(xfrm::EncodePolicyFlushed(PolicyType::kMain, {})), "policy flush");
  EXPECT_EQ(Said(xfrm::EncodePolicyFlushed(PolicyType::kSub, {})), "policy flush ptype sub");
  EXPECT_EQ(Said(xfrm::EncodeSaFlushed(50, {})), "state flush proto 50");
}

TEST(XfrmAudit, SocketPoliciesAreTold) {
  SocketPolicyChange change;
  change.spec = SomePolicy();
  EXPECT_THAT(RecordOf(change).text(), HasSubstr("policy of a socket: dir out"));
  change.spec.reset();
  EXPECT_EQ(RecordOf(change).act, ClientAct::kPolicy);
}

TEST(XfrmAudit, ThePeerIsWhoConnected) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
  const UniqueFd one(fds[0]), other(fds[1]);
  EXPECT_EQ(PeerOf(one.get()).uid, getuid());
  EXPECT_EQ(PeerOf(one.get()).pid, getpid());
  EXPECT_EQ(PeerOf(-1).uid, ~uint32_t{0});
}

}  // namespace
}  // namespace cygnet
