#include "control/ike_sockets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/log.h"
#include "net/ip_protocol.h"
#include "support/fake_host_sockets.h"
#include "support/packet_builder.h"

namespace cygnet {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> g_said;

class IkeSocketsTest : public testing::Test {
 protected:
  IkeSocketsTest() {
    path_.ike_bypass = true;
    g_said.clear();
    SetLogSink([](LogLevel, std::string_view text) { g_said.emplace_back(text); });
  }
  ~IkeSocketsTest() override {
    SetLogSink([](LogLevel, std::string_view) {});
  }
  bool Passes(uint16_t port) {
    FlowKey flow;
    flow.saddr = test::Ip("192.0.2.1");
    flow.daddr = test::Ip("192.0.2.2");
    flow.sport = port;
    flow.dport = 500;
    flow.family = IpFamily::kV4;
    flow.proto = kProtoUdp;
    return path_.IsOfIkeSocket(PolicyDirection::kOut, flow, 1);
  }
  void Bind(uint64_t cookie, uint16_t port, uint32_t uid) {
    host_.Bind(cookie, port);
    host_.sockets.back().uid = uid;
  }
  DataPath path_{1};
  test::FakeHostSockets host_;
  IkeSockets sockets_{&path_, &host_};
};

TEST_F(IkeSocketsTest, RootsOnTheTwoPortsAndOnlyWhileTheyAreThere) {
  Bind(1, 500, 0);
  Bind(2, 4500, 65534);
  Bind(3, 5500, 0);
  const uint64_t before = path_.generation();
  sockets_.Refresh();
  EXPECT_GT(path_.generation(), before);
  EXPECT_TRUE(Passes(500));
  EXPECT_FALSE(Passes(4500));  // anybody may bind it
  EXPECT_FALSE(Passes(5500));
  host_.Unbind(2);
  Bind(4, 4500, 0);
  host_.Unbind(1);
  sockets_.Refresh();
  EXPECT_FALSE(Passes(500));
  EXPECT_TRUE(Passes(4500));
}

TEST_F(IkeSocketsTest, NoneWhileTheBypassIsOffOrTheKernelDoesNotTell) {
  Bind(1, 500, 0);
  sockets_.Refresh();
  EXPECT_TRUE(Passes(500));
  path_.ike_bypass = false;
  sockets_.Refresh();
  EXPECT_FALSE(Passes(500));
  path_.ike_bypass = true;
  IkeSockets deaf(&path_, nullptr);
  deaf.Refresh();
  EXPECT_FALSE(Passes(500));
}

// Shared by SO_REUSEADDR, or at another address: a packet does not show which of the two sent it.
TEST_F(IkeSocketsTest, APortThatAnotherUserSharesIsWithdrawnUntilThatUserIsGone) {
  Bind(1, 500, 0);
  Bind(2, 4500, 0);
  sockets_.Refresh();
  EXPECT_TRUE(Passes(4500));
  EXPECT_THAT(g_said, IsEmpty());
  Bind(3, 4500, 1017);
  host_.sockets.back().ends.local = test::Ip("192.0.2.1");
  for (int second = 0; second < 3; ++second) sockets_.Refresh();
  EXPECT_FALSE(Passes(4500));
  EXPECT_TRUE(Passes(500));
  EXPECT_THAT(g_said, ElementsAre(AllOf(HasSubstr("port 4500"), HasSubstr("uid 1017"),
                                        HasSubstr("uid 0"), HasSubstr("close that socket"))));
  g_said.clear();
  host_.Unbind(3);
  sockets_.Refresh();
  EXPECT_TRUE(Passes(4500));
  EXPECT_THAT(g_said, ElementsAre(HasSubstr("port 4500")));
}

// An IPv6 socket may send IPv4 packets.
TEST_F(IkeSocketsTest, ASharerOfTheOtherFamilyCounts) {
  Bind(1, 4500, 0);
  Bind(2, 4500, 1017);
  host_.sockets.back().ends.family = IpFamily::kV6;
  sockets_.Refresh();
  EXPECT_FALSE(Passes(4500));
}

TEST_F(IkeSocketsTest, NoneWhileTheKernelDoesNotSayWhoElseHasThePort) {
  Bind(1, 4500, 0);
  sockets_.Refresh();
  EXPECT_TRUE(Passes(4500));
  host_.silent = IpFamily::kV6;
  sockets_.Refresh();
  EXPECT_FALSE(Passes(4500));
}

TEST_F(IkeSocketsTest, SaysAgainWhoSharesAPortWhenTheBypassIsTurnedOnAgain) {
  Bind(1, 4500, 0);
  Bind(2, 4500, 1017);
  sockets_.Refresh();
  path_.ike_bypass = false;
  sockets_.Refresh();
  EXPECT_EQ(g_said.size(), 1u);
  path_.ike_bypass = true;
  sockets_.Refresh();
  EXPECT_EQ(g_said.size(), 2u);
}

TEST_F(IkeSocketsTest, AnUnchangedListVoidsNoCache) {
  Bind(1, 500, 0);
  sockets_.Refresh();
  const uint64_t before = path_.generation();
  sockets_.Refresh();
  EXPECT_EQ(path_.generation(), before);
}

}  // namespace
}  // namespace cygnet
