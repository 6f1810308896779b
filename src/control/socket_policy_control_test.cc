// Socket policies, from the request to the socket's end.
#include "control/socket_policy_control.h"

#include <gtest/gtest.h>

#include "net/ip_protocol.h"
#include "support/control_plane_fixture.h"
#include "support/fake_host_sockets.h"

namespace cygnet {
namespace {

constexpr uint64_t kCookie = 77;
constexpr uint16_t kPort = 5500;

SocketPolicyChange Wish(PolicyDirection direction, uint64_t cookie = kCookie,
                        uint16_t port = kPort) {
  return {.cookie = cookie,
          .family = IpFamily::kV4,
          .proto = kProtoUdp,
          .port = port,
          .spec = test::MakePolicy(direction, "0.0.0.0/0", "0.0.0.0/0")};
}

class SocketPolicyControlTest : public testing::Test {
 protected:
  static SocketPolicyChange Again(SocketPolicyChange change) {
    change.retold = true;
    return change;
  }
  Errc Refused(const SocketPolicyChange& change) {
    const Status status = control_.Change(change);
    return status ? Errc{} : status.error().code;
  }
  // The verdict for a packet from port `port`.
  const Policy* Out(uint16_t port = kPort) const {
    FlowKey flow;
    flow.sport = port;
    flow.family = IpFamily::kV4;
    flow.proto = kProtoUdp;
    return path_.socket_policies.Find(PolicyDirection::kOut, flow, 1);
  }

  DataPath path_{1};
  test::FakeClock clock_;
  test::FakeHostSockets sockets_;
  SocketPolicyControl control_{&path_, &clock_, &sockets_};
};

TEST_F(SocketPolicyControlTest, HoldsFromTheAnswerOnAndEveryCacheForgets) {
  sockets_.Bind(kCookie, kPort);
  const uint64_t before = path_.generation();
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut)));
  EXPECT_NE(Out(), nullptr);
  EXPECT_GT(path_.generation(), before);
  EXPECT_EQ(control_.Counts(), (std::array<uint32_t, 2>{0, 1}));
}

TEST_F(SocketPolicyControlTest, EndsWithItsSocketAtOnce) {
  sockets_.Bind(kCookie, kPort);
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut)));
  sockets_.End(kCookie);
  sockets_.Bind(kCookie + 1, kPort);  // the new owner of the port
  const uint64_t before = path_.generation();
  control_.OnEnded();
  EXPECT_EQ(Out(), nullptr);
  EXPECT_GT(path_.generation(), before);
  EXPECT_TRUE(control_.List().empty());
}

TEST_F(SocketPolicyControlTest, HasNoEffectUntilItsPortIsKnown) {
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut, kCookie, 0)));
  EXPECT_TRUE(path_.socket_policies.Empty());
  EXPECT_EQ(control_.Counts(), (std::array<uint32_t, 2>{0, 1})) << "shown nevertheless";
  sockets_.Bind(kCookie, kPort);
  const Policy* first = control_.List().empty() ? nullptr : Out();
  EXPECT_EQ(first, nullptr);
  ASSERT_TRUE(control_.Change(Again(Wish(PolicyDirection::kOut))));
  EXPECT_NE(Out(), nullptr);
}

TEST_F(SocketPolicyControlTest, WhatIsSaidOfPortsIsNotBelieved) {
  sockets_.Bind(kCookie + 1, kPort);  // of another socket
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut)));
  EXPECT_EQ(Out(), nullptr);
}

TEST_F(SocketPolicyControlTest, TickFindsPortsAddressesAndTheirLoss) {
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut, kCookie, 0)));
  sockets_.Bind(kCookie, kPort);
  control_.Tick();
  EXPECT_NE(Out(), nullptr);
  sockets_.Bind(kCookie, kPort + 1);
  control_.Tick();
  EXPECT_EQ(Out(), nullptr);
  EXPECT_NE(Out(kPort + 1), nullptr);
  sockets_.Unbind(kCookie);
  control_.Tick();
  EXPECT_EQ(Out(kPort + 1), nullptr);
  EXPECT_EQ(control_.List().size(), 1u);
}

// A socket of `uid` that shares the port, over either family.
HostSocket Sharer(uint32_t uid, IpFamily family = IpFamily::kV4, uint16_t port = kPort) {
  HostSocket socket{.cookie = 900 + uid, .ends = {}, .uid = uid};
  socket.ends.local_port = port;
  socket.ends.family = family;
  socket.ends.proto = kProtoUdp;
  return socket;
}

TEST_F(SocketPolicyControlTest, AllowsNothingWhileAStrangerSharesThePort) {
  sockets_.Bind(kCookie, kPort);
  sockets_.sockets[0].uid = 500;
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut)));
  for (const HostSocket& other : {Sharer(500), Sharer(0), Sharer(7, IpFamily::kV4, kPort + 1)}) {
    sockets_.sockets.push_back(other);
    control_.Tick();
    EXPECT_NE(Out(), nullptr) << "the owner's, root's, of another port";
    sockets_.sockets.pop_back();
  }
  for (const IpFamily family : {IpFamily::kV4, IpFamily::kV6}) {
    sockets_.sockets.push_back(Sharer(7, family));
    control_.Tick();
    EXPECT_EQ(Out(), nullptr);
    EXPECT_EQ(control_.List().size(), 1u) << "shown nevertheless";
    sockets_.sockets.pop_back();
    control_.Tick();
    EXPECT_NE(Out(), nullptr);
  }
}

TEST_F(SocketPolicyControlTest, AStrangerThatWasThereBeforeCountsToo) {
  sockets_.Bind(kCookie, kPort);
  sockets_.sockets[0].uid = 0;
  sockets_.sockets.push_back(Sharer(7));
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut)));
  EXPECT_EQ(Out(), nullptr);
  SocketPolicyChange block = Wish(PolicyDirection::kOut);
  block.spec->action = PolicyAction::kBlock;
  ASSERT_TRUE(control_.Change(block));
  EXPECT_NE(Out(), nullptr) << "a block stays in force";
}

TEST_F(SocketPolicyControlTest, ALongListMayMissOne) {
  sockets_.Bind(kCookie, kPort);
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut)));
  sockets_.missed = kCookie;
  control_.Tick();
  EXPECT_NE(Out(), nullptr);
  sockets_.ended.lost = true;
  control_.OnEnded();
  EXPECT_NE(Out(), nullptr);
}

// The kernel could not report which sockets: those that are missing have ended.
TEST_F(SocketPolicyControlTest, LostMessagesOfEnds) {
  sockets_.Bind(kCookie, kPort);
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut)));
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut, kCookie + 1, 0)));
  sockets_.Unbind(kCookie);
  sockets_.ended.lost = true;
  control_.OnEnded();
  EXPECT_EQ(Out(), nullptr);
  EXPECT_EQ(control_.List().size(), 1u) << "the other has no port, and so no effect";
}

TEST_F(SocketPolicyControlTest, RetoldIsNotAnotherPolicy) {
  sockets_.Bind(kCookie, kPort);
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut)));
  const uint32_t index = control_.List().at(0).spec.index;
  EXPECT_EQ(index & 7, 4u);
  ASSERT_TRUE(control_.Change(Again(Wish(PolicyDirection::kOut))));
  EXPECT_EQ(control_.List().at(0).spec.index, index);
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut)));
  EXPECT_EQ(control_.List().at(0).spec.index, index + 8);
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kIn)));
  EXPECT_EQ(control_.List().at(0).spec.index & 7, 3u);
  EXPECT_EQ(control_.Counts(), (std::array<uint32_t, 2>{1, 1}));
}

TEST_F(SocketPolicyControlTest, NothingClearsBothDirectionsUnlessRetold) {
  sockets_.Bind(kCookie, kPort);
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut)));
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kIn)));
  SocketPolicyChange nothing = Wish(PolicyDirection::kOut);
  nothing.spec.reset();
  ASSERT_TRUE(control_.Change(Again(nothing)));
  EXPECT_EQ(control_.List().size(), 2u);
  ASSERT_TRUE(control_.Change(nothing));
  EXPECT_TRUE(control_.List().empty());
  EXPECT_TRUE(path_.socket_policies.Empty());
}

TEST_F(SocketPolicyControlTest, WhatWouldNotBeDoneIsRefused) {
  SocketPolicyChange change = Wish(PolicyDirection::kOut);
  change.proto = 89;
  EXPECT_EQ(Refused(change), Errc::kNotSupported);
  change = Wish(PolicyDirection::kOut);
  change.spec->templates.push_back({});
  EXPECT_EQ(Refused(change), Errc::kNotSupported);
  EXPECT_TRUE(control_.List().empty());
}

TEST_F(SocketPolicyControlTest, AKernelThatTellsNothing) {
  SocketPolicyControl blind(&path_, &clock_, nullptr);
  SocketPolicyChange change = Wish(PolicyDirection::kOut);
  EXPECT_TRUE(blind.Change(change)) << "an IKE daemon starts; the SPD decides";
  EXPECT_TRUE(path_.socket_policies.Empty());
  change.spec->action = PolicyAction::kBlock;
  EXPECT_FALSE(blind.Change(change)) << "a block without effect is none";
}

TEST_F(SocketPolicyControlTest, FullOfSockets) {
  for (uint64_t i = 0; i < SocketPolicyControl::kMaxSockets - 1; ++i) {
    sockets_.sockets.clear();  // so that each check is short
    sockets_.Bind(1000 + i, kPort);
    ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut, 1000 + i)));
  }
  ASSERT_TRUE(control_.Change(Wish(PolicyDirection::kOut, kCookie, 0)));
  sockets_.Bind(5, kPort);
  EXPECT_TRUE(control_.Change(Wish(PolicyDirection::kOut, 5)))
      << "the one without a port gives way";
  EXPECT_EQ(Refused(Wish(PolicyDirection::kOut, 6)), Errc::kNoSpace);
}

// Not visible to clients: no events, not flushed, not counted in the SPD.
class SocketPolicyClientTest : public test::ControlPlaneTest {
 protected:
  SocketPolicyClientTest()
      : ControlPlaneTest(2, PlacementMode::kCrypto,
                         [this](ControlPlaneParams* params) { params->sockets = &sockets_; }) {}
  void GiveOne() {
    sockets_.Bind(kCookie, kPort);
    ASSERT_TRUE(control_->ChangeSocketPolicy(Wish(PolicyDirection::kOut)));
  }
  test::FakeHostSockets sockets_;
};

TEST_F(SocketPolicyClientTest, AreApartFromTheSpd) {
  GiveOne();
  ASSERT_EQ(control_->ListSocketPolicies().size(), 1u);
  const PolicyView view = control_->ListSocketPolicies()[0];
  EXPECT_TRUE(control_->ListPolicies().empty());
  PolicyId id;
  id.index = view.spec.index;
  id.direction = PolicyDirection::kOut;
  EXPECT_FALSE(control_->GetPolicy(id));
  EXPECT_FALSE(control_->DeletePolicy(id, {}));
  EXPECT_FALSE(*control_->FlushPolicies(PolicyType::kMain, {}));
  EXPECT_EQ(control_->ListSocketPolicies().size(), 1u);
  EXPECT_EQ(control_->GetSpdInfo().of_sockets, (std::array<uint32_t, 2>{0, 1}));
  EXPECT_TRUE(recorder_.Take().empty());
  sockets_.End(kCookie);
  control_->socket_policies().OnEnded();
  EXPECT_TRUE(control_->ListSocketPolicies().empty());
}

// A device's thread may read policies while the control plane ends.
TEST_F(SocketPolicyClientTest, AreGoneWithTheControlPlane) {
  GiveOne();
  EXPECT_FALSE(path_.socket_policies.Empty());
  control_.reset();
  EXPECT_TRUE(path_.socket_policies.Empty());
}

}  // namespace
}  // namespace cygnet
