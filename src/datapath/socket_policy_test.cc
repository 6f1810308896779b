// Packets that a socket's policy lets pass, and packets that only look like them: both pipelines
// and the seal guard, with an SPD that protects or blocks everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "net/ip_protocol.h"
#include "support/stray_frame.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::IpFields;
using test::IpPacket;
using test::operator+;
using test::MakePolicy;
using test::Pattern;
using test::TestPair;
using test::Udp;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint16_t kPort = 5500;
constexpr uint16_t kFar = 9;

class SocketPolicyPathTest : public testing::Test {
 protected:
  SocketPolicyPathTest() {
    pair_.Protect({.mode = SaMode::kTransport}, "192.0.2.1", "192.0.2.2");
    pair_.a.path.spd.SetDefault(PolicyDirection::kOut, PolicyAction::kBlock);
    pair_.b.path.spd.SetDefault(PolicyDirection::kIn, PolicyAction::kBlock);
  }
  std::shared_ptr<const SocketPolicy> Give(test::TestHost& host, PolicyDirection direction,
                                           PolicyAction action = PolicyAction::kAllow) {
    SocketPolicy policy;
    policy.ends.local_port = kPort;
    policy.ends.family = IpFamily::kV4;
    policy.ends.proto = kProtoUdp;
    policy.policy.reset(new Policy);
    policy.policy->spec = MakePolicy(direction, "0.0.0.0/0", "0.0.0.0/0", {}, action);
    auto given = std::make_shared<const SocketPolicy>(policy);
    host.path.socket_policies.Insert(given.get());
    host.path.BumpGeneration();
    given_.push_back(given);
    return given;
  }
  static void Take(test::TestHost& host, const std::shared_ptr<const SocketPolicy>& policy) {
    host.path.socket_policies.Remove(policy);
    host.path.BumpGeneration();
  }
  // A datagram from A's socket, or to B's.
  static Bytes Datagram(uint16_t sport, uint16_t dport, const char* src = "192.0.2.1",
                        const char* dst = "192.0.2.2") {
    return Frame(Udp({.src = src, .dst = dst}, sport, dport, Pattern(40)));
  }

  std::vector<std::shared_ptr<const SocketPolicy>> given_;  // the path does not own them
  TestPair pair_;
};

TEST_F(SocketPolicyPathTest, ItsDatagramsLeaveAsTheyAreAndTheOthersSealed) {
  const auto policy = Give(pair_.a, PolicyDirection::kOut);
  const Bytes own = Datagram(kPort, kFar);
  EXPECT_THAT(pair_.a.Send(own), ElementsAre(own));
  EXPECT_THAT(pair_.a.Send(own), ElementsAre(own)) << "by the flow cache";
  EXPECT_NE(policy->policy->use_time.load(), 0u);
  const auto other = pair_.a.Send(Datagram(kPort + 1, kPort));
  ASSERT_THAT(other, SizeIs(1));
  EXPECT_EQ(other[0][14 + 9], kProtoEsp);
  EXPECT_EQ(pair_.a.AllDrops(), 0u);
}

TEST_F(SocketPolicyPathTest, IsGoneFromEveryCacheWithItsSocket) {
  const auto policy = Give(pair_.a, PolicyDirection::kOut);
  const Bytes own = Datagram(kPort, kFar);
  EXPECT_THAT(pair_.a.Send(own), ElementsAre(own));
  Take(pair_.a, policy);
  const auto wire = pair_.a.Send(own);
  ASSERT_THAT(wire, SizeIs(1));
  EXPECT_EQ(wire[0][14 + 9], kProtoEsp);
}

TEST_F(SocketPolicyPathTest, WhatIsForwardedIsNotOfIt) {
  Give(pair_.a, PolicyDirection::kOut);
  EXPECT_THAT(pair_.a.Send(Datagram(kPort, kFar, "203.0.113.9")), IsEmpty());
  EXPECT_EQ(pair_.a.Drops(DropReason::kOutPolicyBlock), 1u);
  Give(pair_.b, PolicyDirection::kIn);
  pair_.b.path.spd.SetDefault(PolicyDirection::kForward, PolicyAction::kBlock);
  EXPECT_THAT(pair_.b.Receive(Datagram(kFar, kPort, "192.0.2.1", "203.0.113.9")), IsEmpty());
}

TEST_F(SocketPolicyPathTest, InClearComesInForItAlone) {
  const auto policy = Give(pair_.b, PolicyDirection::kIn);
  const Bytes answer = Datagram(kFar, kPort);
  EXPECT_THAT(pair_.b.Receive(answer), ElementsAre(answer));
  EXPECT_THAT(pair_.b.Receive(Datagram(kPort, kFar)), IsEmpty()) << "the far end's port";
  EXPECT_EQ(pair_.b.Drops(DropReason::kInTemplateMismatch), 1u);
  Take(pair_.b, policy);
  EXPECT_THAT(pair_.b.Receive(answer), IsEmpty());
}

TEST_F(SocketPolicyPathTest, BlocksWhereTheSpdIsIdle) {
  TestPair idle;
  Give(idle.a, PolicyDirection::kOut, PolicyAction::kBlock);
  Give(idle.b, PolicyDirection::kIn, PolicyAction::kBlock);
  EXPECT_THAT(idle.a.Send(Datagram(kPort, kFar)), IsEmpty());
  EXPECT_EQ(idle.a.Drops(DropReason::kOutPolicyBlock), 1u);
  EXPECT_THAT(idle.b.Receive(Datagram(kFar, kPort)), IsEmpty());
  EXPECT_EQ(idle.b.Drops(DropReason::kInPolicyBlock), 1u);
  EXPECT_THAT(idle.a.Send(Datagram(kPort + 1, kFar)), SizeIs(1));
}

// Packets do not show their socket: who shares an IKE daemon's port, or is masqueraded, must send
// IKE there to pass by the daemon's policy.
TEST_F(SocketPolicyPathTest, OnlyIkePassesAtThePortsOfIke) {
  const auto give = [this](test::TestHost& host, PolicyDirection direction, uint16_t port) {
    SocketPolicy policy;
    policy.ends.local_port = port;
    policy.ends.family = IpFamily::kV4;
    policy.ends.proto = kProtoUdp;
    policy.policy.reset(new Policy);
    policy.policy->spec = MakePolicy(direction, "0.0.0.0/0", "0.0.0.0/0");
    given_.push_back(std::make_shared<const SocketPolicy>(policy));
    host.path.socket_policies.Insert(given_.back().get());
    host.path.BumpGeneration();
  };
  Bytes ike(28, 7);
  ike[17] = 0x20;
  std::copy_n(Bytes{0, 0, 0, 28}.begin(), 4, ike.begin() + 24);
  const Bytes marked = Bytes(4, 0) + ike;
  const auto datagram = [](uint16_t sport, uint16_t dport, const Bytes& payload) {
    return Frame(Udp({.src = "192.0.2.1", .dst = "192.0.2.2"}, sport, dport, payload));
  };
  for (const uint16_t port : {uint16_t{500}, uint16_t{4500}}) {
    give(pair_.a, PolicyDirection::kOut, port);
    give(pair_.b, PolicyDirection::kIn, port);
    const Bytes own = datagram(port, 9, port == 500 ? ike : marked);
    // Not IKE; on port 4500 behind the marker, without which it would be ESP.
    const Bytes stranger = port == 500 ? Pattern(40) : Bytes(4, 0) + Pattern(40);
    const Bytes other = datagram(port, 9, stranger);
    EXPECT_THAT(pair_.a.Send(own), ElementsAre(own));
    const auto sealed = pair_.a.Send(other);
    ASSERT_THAT(sealed, SizeIs(1));
    EXPECT_EQ(sealed[0][14 + 9], kProtoEsp);
    EXPECT_THAT(pair_.a.Send(own), ElementsAre(own)) << "after one that did not pass";
    EXPECT_THAT(pair_.b.Receive(datagram(9, port, port == 500 ? ike : marked)), SizeIs(1));
    const uint64_t before = pair_.b.Drops(DropReason::kInTemplateMismatch);
    EXPECT_THAT(pair_.b.Receive(datagram(9, port, stranger)), IsEmpty());
    EXPECT_EQ(pair_.b.Drops(DropReason::kInTemplateMismatch), before + 1);
  }
}

// RFC 4301 section 5.2: a tunnel that no policy names is refused, also by a socket's policy.
TEST_F(SocketPolicyPathTest, AllowsNoTunnelIn) {
  TestPair pair;
  pair.Protect({}, "192.0.2.1", "192.0.2.2");
  const auto sealed = pair.a.Send(Datagram(kFar, kPort));
  ASSERT_THAT(sealed, SizeIs(1));
  Give(pair.b, PolicyDirection::kIn);
  EXPECT_THAT(pair.b.Receive(sealed[0]), IsEmpty());
  EXPECT_EQ(pair.b.Drops(DropReason::kInTemplateMismatch), 1u);
}

// A datagram of 1,472 bytes, cut into pieces of 1,000.
std::vector<Bytes> Pieces(uint16_t sport, uint16_t dport) {
  const Bytes whole = Udp({.src = "192.0.2.1", .dst = "192.0.2.2"}, sport, dport, Pattern(1400));
  const Bytes body(whole.begin() + 20, whole.end());
  constexpr std::ptrdiff_t kCut = 1000;
  IpFields fields{.src = "192.0.2.1", .dst = "192.0.2.2", .proto = kProtoUdp};
  fields.fragment = 0x2000;
  const Bytes first = IpPacket(fields, Bytes(body.begin(), body.begin() + kCut));
  fields.fragment = kCut / 8;
  return {Frame(first), Frame(IpPacket(fields, Bytes(body.begin() + kCut, body.end())))};
}

TEST_F(SocketPolicyPathTest, FragmentsWaitForTheirDatagram) {
  Give(pair_.a, PolicyDirection::kOut);
  auto pieces = Pieces(kPort, kFar);
  EXPECT_THAT(pair_.a.Send(pieces[1]), IsEmpty());
  std::size_t clear = 0;
  for (const Bytes& frame : pair_.a.Send(pieces[0])) clear += frame[14 + 9] == kProtoUdp;
  EXPECT_GE(clear, 1u);
  EXPECT_EQ(pair_.a.AllDrops(), 0u);
  pieces = Pieces(kPort + 1, kFar);
  EXPECT_THAT(pair_.a.Send(pieces[1]), IsEmpty());
  for (const Bytes& frame : pair_.a.Send(pieces[0])) EXPECT_EQ(frame[14 + 9], kProtoEsp);
}

TEST_F(SocketPolicyPathTest, FragmentsComeInForItAlone) {
  Give(pair_.b, PolicyDirection::kIn);
  auto pieces = Pieces(kFar, kPort);
  EXPECT_THAT(pair_.b.Receive(pieces[1]), IsEmpty());
  EXPECT_THAT(pair_.b.Receive(pieces[0]), SizeIs(1));
  pieces = Pieces(kFar, kPort + 1);
  EXPECT_THAT(pair_.b.Receive(pieces[1]), IsEmpty());
  EXPECT_THAT(pair_.b.Receive(pieces[0]), IsEmpty());
}

// The guard decides itself about a frame in clear that reaches the wire without a decision.
TEST_F(SocketPolicyPathTest, TheGuardKnowsIt) {
  const auto stray = [&](const Bytes& frame) { return test::LeavesUndecided(&pair_, frame); };
  EXPECT_THAT(stray(Datagram(kPort, kFar)), IsEmpty());
  const auto policy = Give(pair_.a, PolicyDirection::kOut);
  EXPECT_THAT(stray(Datagram(kPort, kFar)), SizeIs(1));
  EXPECT_THAT(stray(Datagram(kPort + 1, kFar)), IsEmpty());
  EXPECT_THAT(stray(Datagram(kPort, kFar, "203.0.113.9")), IsEmpty());
  Take(pair_.a, policy);
  EXPECT_THAT(stray(Datagram(kPort, kFar)), IsEmpty());
}

}  // namespace
}  // namespace cygnet
