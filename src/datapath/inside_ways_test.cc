// Packets from inside interfaces and to them: what a router does with them, and that the straight
// and the general way do the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "support/hex.h"
#include "support/inside_lan.h"

namespace cygnet {
namespace {

using test::Addr;
using test::Bytes;
using test::Frame;
using test::InsideLan;
using test::IpFields;
using test::IpPacket;
using test::Pattern;
using test::SaOptions;
using test::TestHost;
using test::Udp;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr MacAddress kPeerMac{2, 0, 0, 0, 0, 0x99};
constexpr uint16_t kVlan = 7;
const SaOptions kFirst{};
const SaOptions kSecond{.spi = 0x1002, .reqid = 2};
const SaOptions kInTransport{.spi = 0x1003, .mode = SaMode::kTransport, .reqid = 3};

// Two gateways with a network each: 10.1/16 behind A, 10.2/16 and 10.3/16 behind B, each network
// also in a VLAN. 10.2/16 is for the first SA, 10.3/16 for the second, 10.4/16 for one in transport
// mode, 10.5/16 for none.
struct Gateways {
  PacketPools pools{2048, 8};
  TestHost a;
  TestHost b;
  InsideLan lan_a;
  InsideLan lan_b;
  uint8_t vlan_a = lan_a.AddVlan(kVlan);
  uint8_t vlan_b = lan_b.AddVlan(kVlan);
  std::vector<SaPtr> out;
  std::vector<SaPtr> in;
  std::vector<std::shared_ptr<Policy>> policies;

  explicit Gateways(uint32_t straight_from = test::StraightFrom())
      : a(&pools, {.straight_from = straight_from}),
        b(&pools, {.straight_from = straight_from}),
        lan_a(&a, &pools, "lan-a"),
        lan_b(&b, &pools, "lan-b") {
    a.SetAddresses({"192.0.2.1", "10.1.0.1"});
    b.SetAddresses({"192.0.2.2", "10.2.0.1"});
    Protect(kFirst, "10.2.0.0/16");
    Protect(kSecond, "10.3.0.0/16");
    Protect(kInTransport, "10.4.0.0/16");
    out[0]->outbound()->next_hop.Set(kPeerMac, 0);
    lan_a.Accept("10.1.0.2", lan_a.number());
    lan_a.Accept("10.1.7.2", vlan_a);
    lan_a.Accept("fd01::2", lan_a.number());
    lan_a.Accept("10.1.0.3", lan_a.number(), Steps());
    lan_b.Reach("10.2.0.2", lan_b.number());
    lan_b.Reach("10.3.0.2", lan_b.number(), 500);
    lan_b.Reach("10.2.7.2", vlan_b);
    lan_a.Reach("10.1.0.9", lan_a.number());
  }
  void Protect(const SaOptions& options, const std::string& to) {
    out.push_back(a.Add(options));
    in.push_back(b.Add(options));
    for (const auto direction :
         {PolicyDirection::kOut, PolicyDirection::kIn, PolicyDirection::kForward}) {
      TestHost& host = direction == PolicyDirection::kOut ? a : b;
      policies.push_back(host.AddPolicy(
          test::MakePolicy(direction, "10.1.0.0/16", to, {test::TemplateFor(options)})));
    }
  }
  // 10.3/16 goes into a tunnel that does not exist, the rest of 10.2/15 to the device.
  static std::vector<InsideStep> Steps() {
    return {{.first = {}, .taken = false},
            {.first = test::Ip("10.2.0.0"), .taken = true},
            {.first = test::Ip("10.3.0.0"), .taken = true, .tunnel = 5},
            {.first = test::Ip("10.4.0.0"), .taken = false}};
  }

  std::vector<Bytes> Send(const Bytes& frame, int times = 1) {
    for (int i = 0; i < times; ++i) lan_a.FromLan(frame);
    a.Run();
    return a.ToWire();
  }
  void ToB(const std::vector<Bytes>& wire) {
    for (const Bytes& frame : wire) b.FromWire(frame);
    b.Run();
  }
};

IpFields From(const std::string& source, const std::string& target, uint8_t ttl = 64) {
  return {.src = source, .dst = target, .ttl = ttl};
}
Bytes Datagram(const IpFields& fields, std::size_t size = 40, const Bytes& tag = {}) {
  return Frame(Udp(fields, 1000, 2000, Pattern(size)), tag);
}
const Bytes kTag{0x81, 0, 0, kVlan};

TEST(InsideWaysTest, PacketCrossesBothGatewaysAsIfRouted) {
  Gateways g;
  g.ToB(g.Send(Datagram(From("10.1.0.2", "10.2.0.2")), 20));
  Bytes expected = Datagram(From("10.1.0.2", "10.2.0.2", 62));
  const MacAddress own = {2, 0, 0, 0, 0, 1};
  std::copy(InsideLan::kHostMac.begin(), InsideLan::kHostMac.end(), expected.begin());
  std::copy(own.begin(), own.end(), expected.begin() + 6);
  EXPECT_THAT(g.lan_b.ToLan(), testing::AllOf(SizeIs(20), Each(expected)));
  EXPECT_THAT(g.b.ToHost(), IsEmpty());
  EXPECT_EQ(g.lan_a.interface().counters.in_packets, 20u);
  EXPECT_EQ(g.lan_a.interface().counters.in_bytes, 20 * expected.size());
  EXPECT_EQ(g.lan_b.interface().counters.out_packets, 20u);
  EXPECT_EQ(g.lan_b.interface().counters.out_bytes, 20 * expected.size());
  EXPECT_EQ(g.a.AllDrops() + g.b.AllDrops(), 0u);
}

TEST(InsideWaysTest, WireFrameNamesTheNextHop) {
  Gateways g;
  const std::vector<Bytes> wire = g.Send(Datagram(From("10.1.0.2", "10.2.0.2")), 9);
  ASSERT_THAT(wire, SizeIs(9));
  for (const Bytes& frame : wire) {
    EXPECT_TRUE(std::equal(kPeerMac.begin(), kPeerMac.end(), frame.begin()));
  }
}

TEST(InsideWaysTest, NothingLeavesInClearOrFromAnUnknownSource) {
  Gateways g;
  EXPECT_THAT(g.Send(Datagram(From("10.1.0.2", "10.5.0.1")), 9), IsEmpty());
  EXPECT_EQ(g.a.Drops(DropReason::kOutInsidePolicy), 9u);
  EXPECT_THAT(g.Send(Datagram(From("10.1.0.77", "10.2.0.2")), 9), IsEmpty());
  EXPECT_THAT(g.Send(Datagram(From("10.1.7.2", "10.2.0.2")), 9), IsEmpty()) << "without its tag";
  EXPECT_EQ(g.a.Drops(DropReason::kOutInsideSource), 18u);
  // The flow is known by now, as the host's own.
  g.a.FromHost(Datagram(From("10.1.0.77", "10.2.0.2")));
  g.a.Run();
  EXPECT_THAT(g.a.ToWire(), SizeIs(1));
  EXPECT_THAT(g.Send(Datagram(From("10.1.0.77", "10.2.0.2")), 9), IsEmpty());
  EXPECT_EQ(g.a.Drops(DropReason::kOutInsideSource), 27u);
}

TEST(InsideWaysTest, ExpiredAndDamagedHeadersAreDropped) {
  Gateways g;
  EXPECT_THAT(g.Send(Datagram(From("10.1.0.2", "10.2.0.2"))), SizeIs(1));
  EXPECT_THAT(g.Send(Datagram(From("10.1.0.2", "10.2.0.2", 1)), 9), IsEmpty());
  Bytes damaged = Datagram(From("10.1.0.2", "10.2.0.2"));
  damaged[14 + 5] ^= 1;
  EXPECT_THAT(g.Send(damaged, 9), IsEmpty());
  EXPECT_EQ(g.a.Drops(DropReason::kOutBadPacket), 18u);
}

TEST(InsideWaysTest, PacketsWaitForTheNextHopAndKeepTheirOrder) {
  Gateways g;
  const auto send = [&](uint8_t tos) {
    IpFields fields = From("10.1.0.2", "10.3.0.2");
    fields.tos = tos;
    return g.Send(Datagram(fields), 5);
  };
  EXPECT_THAT(send(4), IsEmpty());
  g.out[1]->outbound()->next_hop.Set(kPeerMac, 0);
  EXPECT_THAT(send(8), IsEmpty()) << "they would overtake the first";
  g.a.path.BumpNextHops();
  const std::vector<Bytes> wire = send(12);
  ASSERT_THAT(wire, SizeIs(15));
  for (std::size_t i = 1; i < wire.size(); ++i) EXPECT_LE(wire[i - 1][15], wire[i][15]);
}

TEST(InsideWaysTest, WhatDoesNotFitGoesByTheHost) {
  Gateways g;
  g.out[1]->outbound()->next_hop.Set(kPeerMac, 0);
  g.ToB(g.Send(Datagram(From("10.1.0.2", "10.3.0.2"), 472), 9));
  EXPECT_THAT(g.lan_b.ToLan(), SizeIs(9)) << "500 bytes";
  g.ToB(g.Send(Datagram(From("10.1.0.2", "10.3.0.2"), 473), 9));
  g.ToB(g.Send(Datagram(From("10.1.0.2", "10.2.0.2", 2)), 9));  // its hop limit is used up
  EXPECT_THAT(g.lan_b.ToLan(), IsEmpty());
  EXPECT_THAT(g.b.ToHost(), SizeIs(18));
  EXPECT_EQ(g.b.path.inside.misses(), 18u);
}

// --- Both ways ---

std::map<std::string, uint64_t> Drops(const TestHost& host) {
  std::map<std::string, uint64_t> found;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (host.Drops(reason) != 0) found[std::string(Describe(reason).name)] = host.Drops(reason);
  }
  return found;
}

std::vector<std::string> Hex(const std::vector<Bytes>& frames) {
  std::vector<std::string> out;
  for (const Bytes& frame : frames) out.push_back(test::ToHex(frame));
  return out;
}

// Of the first frame that differs.
testing::AssertionResult SameFrames(const std::vector<std::vector<std::string>>& one,
                                    const std::vector<std::vector<std::string>>& other) {
  for (std::size_t list = 0; list < std::min(one.size(), other.size()); ++list) {
    const auto [a, b] =
        std::mismatch(one[list].begin(), one[list].end(), other[list].begin(), other[list].end());
    if (a == one[list].end() && b == other[list].end()) continue;
    return testing::AssertionFailure()
           << "list " << list << ", frame " << a - one[list].begin() << ":\n"
           << (a == one[list].end() ? "none" : *a) << "\n"
           << (b == other[list].end() ? "none" : *b);
  }
  return one.size() == other.size() ? testing::AssertionSuccess() : testing::AssertionFailure();
}

std::vector<uint64_t> Counts(const InsideLan& lan) {
  const auto& counters = lan.interface().counters;
  return {counters.in_packets, counters.in_bytes, counters.out_packets, counters.out_bytes};
}

// Everything that can be seen of one scenario.
struct Outcome {
  std::vector<std::vector<std::string>> frames;
  std::vector<std::map<std::string, uint64_t>> drops;
  std::vector<uint64_t> numbers;
  std::vector<ReplayState> replay;
  std::vector<LifetimeUsage> usage;

  void Take(Gateways* g) {
    for (TestHost* host : {&g->a, &g->b}) {
      frames.push_back(Hex(host->ToHost()));
      drops.push_back(Drops(*host));
      numbers.push_back(host->path.inside.misses());
      numbers.push_back(host->Events().size());
      host->path.inside.TakeMisses(1000, [&](const Inside::Miss& miss) {
        frames.push_back(
            {ToString(miss.host.address, miss.host.family), std::to_string(miss.device)});
      });
    }
    for (InsideLan* lan : {&g->lan_a, &g->lan_b}) {
      frames.push_back(Hex(lan->ToLan()));
      for (const uint64_t count : Counts(*lan)) numbers.push_back(count);
    }
    for (const auto* sas : {&g->out, &g->in}) {
      for (const auto& sa : *sas) {
        usage.push_back(sa->lifetime().usage());
        replay.push_back(sa->ExportReplay());
      }
    }
    for (const auto& policy : g->policies) numbers.push_back(policy->use_time);
    for (const char* source : {"10.1.0.2", "10.1.0.3"}) {
      const InsideKey key{SourceScope(g->lan_a.number()), Addr(source)};
      numbers.push_back(g->a.path.inside.FindSource(key)->use.Take() ? 1 : 0);
    }
    for (const char* address : {"10.2.0.2", "10.3.0.2", "10.2.7.2"}) {
      numbers.push_back(g->b.path.inside.FindHost({0, Addr(address)})->use.Take() ? 1 : 0);
    }
  }
};

// What comes from the network behind A, many of a kind and kinds in turns.
std::vector<Bytes> LanFrames() {
  std::vector<Bytes> frames;
  const auto add = [&](const Bytes& frame, std::size_t times) {
    frames.insert(frames.end(), times, frame);
  };
  for (const std::size_t times : {1u, 3u, 8u, 12u}) {
    add(Datagram(From("10.1.0.2", "10.2.0.2")), times);
    add(Datagram(From("10.1.0.2", "10.2.0.3")), times);            // a host nobody has named
    add(Datagram(From("10.1.0.2", "10.2.0.1")), times);            // B itself
    add(Datagram(From("10.1.0.2", "10.2.0.2", 1)), times);         // expired
    add(Datagram(From("10.1.0.2", "10.2.0.2", 2)), times);         // expires at B
    add(Datagram(From("10.1.7.2", "10.2.7.2"), 40, kTag), times);  // of the VLAN, at both ends
    add(Datagram(From("10.1.0.2", "10.2.0.2"), 40, kTag), times);  // of the wrong VLAN
    add(Datagram(From("10.1.0.2", "10.2.0.2"), 40, {0x81, 0, 0, 9}), times);
    add(Datagram(From("10.1.0.77", "10.2.0.2")), times);      // from nowhere
    add(Datagram(From("10.1.0.3", "10.2.0.2")), times);       // by its routes
    add(Datagram(From("10.1.0.3", "10.3.0.2")), times);       // into a tunnel
    add(Datagram(From("10.1.0.3", "10.5.0.2")), times);       // to the host
    add(Datagram(From("10.1.0.2", "10.3.0.2"), 460), times);  // waits for a next hop
    add(Datagram(From("10.1.0.2", "10.4.0.2")), times);       // transport mode
    add(Datagram(From("10.1.0.2", "10.5.0.2")), times);       // without a policy
    IpFields odd = From("10.1.0.2", "10.2.0.2");
    add(Frame(IpPacket({.src = odd.src, .dst = odd.dst, .proto = 1}, Pattern(30))), times);
    odd.dont_fragment = true;
    add(Datagram(odd, 1450), times);
    odd.dont_fragment = false;
    add(Datagram(odd, 1450), times);
    odd.options = {1, 1, 1, 1};
    add(Datagram(odd), times);
    odd = From("10.1.0.2", "10.2.0.2");
    odd.fragment = 0x2000;
    add(Datagram(odd), times);
    Bytes damaged = Datagram(From("10.1.0.2", "10.2.0.2"));
    damaged[14 + 8] ^= 1;
    add(damaged, times);
    add(Datagram(From("fd01::2", "fd02::2")), times);
    for (std::size_t i = 0; i < times; ++i) {
      add(Datagram(From("10.1.0.2", "10.2.0.2")), 1);
      add(Datagram(From("10.1.0.3", "10.2.0.2")), 1);
      add(Datagram(From("10.1.7.2", "10.2.7.2"), 40, kTag), 1);
    }
  }
  return frames;
}

Outcome Play(uint32_t straight_from) {
  Gateways g(straight_from);
  Outcome outcome;
  std::vector<Bytes> wire;
  for (const char* state : {"cold", "warm", "with a next hop"}) {
    for (const Bytes& frame : LanFrames()) g.lan_a.FromLan(frame);
    // Also by the host, from hosts that control has named and that it has not.
    for (const char* source : {"10.1.0.9", "10.1.0.8", "10.1.0.1"}) {
      for (int i = 0; i < 10; ++i) g.a.FromHost(Datagram(From(source, "10.2.0.2")));
    }
    g.a.Run();
    wire = g.a.ToWire();
    outcome.frames.push_back(Hex(wire));
    EXPECT_GT(wire.size(), 150u) << state;
    g.ToB(wire);
    outcome.Take(&g);
    g.out[1]->outbound()->next_hop.Set(kPeerMac, 0);
    g.a.path.BumpNextHops();
  }
  g.ToB(wire);                                              // replayed
  g.b.SetAddresses({"192.0.2.2", "10.2.0.1", "10.1.0.2"});  // a source that is its own
  for (int i = 0; i < 9; ++i) g.lan_a.FromLan(Datagram(From("10.1.0.2", "10.2.0.2")));
  g.a.Run();
  g.ToB(g.a.ToWire());
  outcome.Take(&g);
  EXPECT_THAT(outcome.drops[0], SizeIs(testing::Ge(4u)));
  return outcome;
}

TEST(InsideWaysTest, BothWaysDoTheSame) {
  const Outcome general = Play(DataPath::kNeverStraight);
  for (const uint32_t from : {1u, 8u}) {
    const Outcome straight = Play(from);
    EXPECT_TRUE(SameFrames(straight.frames, general.frames)) << from;
    EXPECT_EQ(straight.drops, general.drops);
    EXPECT_EQ(straight.numbers, general.numbers);
    EXPECT_EQ(straight.replay, general.replay);
    EXPECT_EQ(straight.usage, general.usage);
  }
}

}  // namespace
}  // namespace cygnet
