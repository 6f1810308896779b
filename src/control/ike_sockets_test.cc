#include "control/ike_sockets.h"

#include <gtest/gtest.h>

#include "net/ip_protocol.h"
#include "support/fake_host_sockets.h"
#include "support/packet_builder.h"

namespace cygnet {
namespace {

class IkeSocketsTest : public testing::Test {
 protected:
  IkeSocketsTest() { path_.ike_bypass = true; }
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

TEST_F(IkeSocketsTest, AnUnchangedListVoidsNoCache) {
  Bind(1, 500, 0);
  sockets_.Refresh();
  const uint64_t before = path_.generation();
  sockets_.Refresh();
  EXPECT_EQ(path_.generation(), before);
}

}  // namespace
}  // namespace cygnet
