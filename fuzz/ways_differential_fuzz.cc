// The straight and the general way of the pipelines do the same: two pairs of hosts get the same
// packets, in one pair all packets go the general way, and everything that can be seen of both must
// be equal: frames and their order, drops, events, counters, windows. The input is a list of steps,
// done twice: by hosts without and with inside interfaces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "net/ip_protocol.h"
#include "support/inside_lan.h"

namespace {

using namespace cygnet;  // NOLINT: a single-file program
using test::Bytes;
using test::IpFields;
using test::operator+;

// Reads the input; zeros follow its end.
class Input {
 public:
  Input(const uint8_t* data, std::size_t size) : at_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  uint8_t Next() {
    if (left_ == 0) return 0;
    --left_;
    return *at_++;
  }

 private:
  const uint8_t* at_;
  std::size_t left_;
};

// SAs of the sender: flows to 10.2.N.1 use SA N.
enum : uint8_t { kTunnel, kEsn, kTransport, kLimited, kNumbered, kSas };

test::SaOptions OptionsOf(uint8_t n) {
  test::SaOptions options{.spi = 0x1000u + n, .reqid = n + 1u};
  if (n == kEsn) options.flags = kSaFlagEsn;
  if (n == kEsn) options.window = 128;
  if (n == kTransport) options.mode = SaMode::kTransport;
  return options;
}

constexpr uint16_t kVlan = 7;

// The network behind a host: its own, and a VLAN.
struct Lan {
  test::InsideLan own;
  uint8_t vlan;
  Lan(test::TestHost* host, PacketPools* pools)
      : own(host, pools, "lan"), vlan(own.AddVlan(kVlan)) {}
};

struct World {
  PacketPools pools{2048, 8};
  test::TestHost a;
  test::TestHost b;
  std::unique_ptr<Lan> lan_a, lan_b;  // of hosts with inside interfaces
  std::vector<SaPtr> sas_a, sas_b;
  std::vector<std::shared_ptr<Policy>> policies;

  World(uint32_t straight_from, bool inside)
      : a(&pools, {.straight_from = straight_from}), b(&pools, {.straight_from = straight_from}) {
    a.SetAddresses({"192.0.2.1", "10.1.0.1"});
    b.SetAddresses({"192.0.2.2"});
    for (uint8_t n = 0; n < kSas; ++n) {
      const test::SaOptions options = OptionsOf(n);
      const std::string to = "10.2." + std::to_string(n) + ".0/24";
      sas_a.push_back(a.Add(options));
      sas_b.push_back(b.Add(options));
      for (const char* from : {"10.1.0.0/16", "10.3.0.0/16"}) {
        AddPolicy(&a, PolicyDirection::kOut, from, to, options);
        // The receiver lets only some of the flows in.
        if (from[3] != '1') continue;
        AddPolicy(&b, PolicyDirection::kIn, from, to, options);
        AddPolicy(&b, PolicyDirection::kForward, from, to, options);
      }
    }
    sas_a[kNumbered]->outbound()->sequence.RequireBlocks();
    if (inside) AddLans();
  }
  // Of the hosts behind, some are known in both networks, one only in the VLAN, and some nowhere.
  void AddLans() {
    lan_a = std::make_unique<Lan>(&a, &pools);
    lan_b = std::make_unique<Lan>(&b, &pools);
    for (const uint8_t n : {lan_a->own.number(), lan_a->vlan}) lan_a->own.Accept("10.1.0.1", n);
    lan_a->own.Accept("10.3.0.1", lan_a->vlan,
                      {{.first = {}, .taken = true},
                       {.first = test::Ip("10.2.2.0"), .taken = false},
                       {.first = test::Ip("10.2.3.0"), .taken = true, .tunnel = 9}});
    lan_a->own.Reach("10.3.0.1", lan_a->vlan);
    lan_b->own.Reach("10.2.0.1", lan_b->own.number());
    lan_b->own.Reach("10.2.1.1", lan_b->own.number(), 200);
    lan_b->own.Reach("10.2.3.1", lan_b->vlan);
  }
  // From the network behind A, or by A's host if that has no inside interface.
  void FromLan(const Bytes& frame) {
    if (lan_a != nullptr) {
      lan_a->own.FromLan(frame);
    } else {
      a.FromHost(frame);
    }
  }
  void AddPolicy(test::TestHost* host, PolicyDirection direction, const std::string& from,
                 const std::string& to, const test::SaOptions& options) {
    policies.push_back(
        host->AddPolicy(test::MakePolicy(direction, from, to, {test::TemplateFor(options)})));
  }
};

// A packet that the host sends, or what arrives although no SA made it.
Bytes MakeFrame(Input* in) {
  static constexpr uint16_t kPorts[] = {1000, 1001, 4500, 500};
  const uint8_t flow = in->Next();
  const uint8_t shape = in->Next();
  IpFields f;
  f.src = (flow & 0x80) != 0 ? "10.3.0.1" : "10.1.0.1";
  f.dst = "10.2." + std::to_string(flow % 6) + ".1";
  f.tos = in->Next();
  f.dont_fragment = (shape & 0x10) != 0;
  if ((shape & 0xe0) == 0xe0) f.options = {1, 1, 1, 1};
  if ((shape & 0xe0) == 0xc0) f.fragment = 0x2000;
  const std::size_t size = (shape & 0xe0) == 0xa0 ? 1400u + in->Next() : in->Next();
  const Bytes payload = test::Pattern(f.fragment != 0 ? size / 8 * 8 : size, flow);
  if ((shape & 0xe0) == 0x80) {
    f.proto = kProtoTcp;
    return test::Frame(test::IpPacket(f, test::Pattern(20) + payload));
  }
  return test::Frame(test::Udp(f, kPorts[shape & 3], kPorts[shape >> 2 & 3], payload));
}

// What is special about a packet from the network behind a host.
Bytes OfLan(Bytes frame, Input* in) {
  const uint8_t what = in->Next();
  if ((what & 0x03) == 0x03) frame[14 + 8] = what >> 6;  // a hop limit with a wrong checksum
  if ((what & 0x0c) == 0x0c) {
    frame[14 + 8] = what >> 6;
    test::Put16(&frame, 14 + 10, 0);
    const std::size_t header = (frame[14] & 0x0fu) * 4u;
    test::Put16(&frame, 14 + 10, test::NaiveChecksum(std::span(frame).subspan(14, header)));
  }
  const uint8_t vlan = (what & 0x30) == 0x30 ? 9 : kVlan;
  const Bytes tag = {0x81, 0, 0, vlan};
  if ((what & 0x20) != 0) frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  return frame;
}

// Frames of the wire, some of them lost, doubled, exchanged or damaged.
std::vector<Bytes> Disturb(std::vector<Bytes> frames, Input* in) {
  const uint8_t what = in->Next();
  if (what < 0x80 || frames.empty()) return frames;
  Bytes& one = frames[in->Next() % frames.size()];
  Bytes& other = frames[in->Next() % frames.size()];
  switch (what % 4) {
    case 0:
      std::swap(one, other);
      break;
    case 1:
      other = Bytes(one);
      break;
    case 2:
      one[in->Next() % one.size()] ^= static_cast<uint8_t>(in->Next() | 1);
      break;
    default:
      one.resize(in->Next() % one.size() + 1);
      break;
  }
  return frames;
}

// Control changes something between two batches.
void Change(World* world, uint8_t what, uint8_t n) {
  OutboundSa* limited = world->sas_a[kLimited]->outbound();
  switch (what % 6) {
    case 0: {
      LifetimeLimits limits;
      limits.hard_packets = limited->sa->lifetime().usage().packets + n;
      limits.soft_packets = limits.hard_packets - n / 2;
      world->sas_a[kLimited]->UpdateLimits(limits);
      limits.hard_bytes = world->sas_b[kTunnel]->lifetime().usage().bytes + n * 100u;
      limits.hard_packets = kUnlimited;
      world->sas_b[kLimited]->UpdateLimits(limits);
      break;
    }
    case 1: {
      SequenceCounter& counter = world->sas_a[kNumbered]->outbound()->sequence;
      if (n > 1) counter.Allow({counter.edge() + 1, counter.edge() + n}, counter.edge() + n / 2);
      break;
    }
    case 2:
      world->sas_a[n % kSas]->outbound()->path_mtu = n < 0x80 ? 0 : 600 + n;
      world->sas_a[n % kSas]->outbound()->path_mtu_until = world->a.clock.WallSeconds() + 600;
      break;
    case 3:
      world->sas_a[n % kSas]->set_state(n < 0x80 ? SaState::kValid : SaState::kDead);
      world->sas_b[n % kSas]->set_state(n < 0xc0 ? SaState::kValid : SaState::kExpired);
      break;
    case 4:
      world->sas_a[n % kSas]->outbound()->next_hop.Set({2, 0, 0, 0, 0, n}, 0);
      world->a.path.BumpNextHops();  // packets of inside interfaces may wait for it
      break;
    default:
      ++world->a.clock.wall_seconds;
      world->a.path.BumpGeneration();
      world->b.path.BumpGeneration();
      break;
  }
}

// In order for each kind. The straight way finishes packets before later ones are decided, so kinds
// mix differently.
bool SameEvents(std::vector<DataPathEvent> one, std::vector<DataPathEvent> other) {
  for (std::vector<DataPathEvent>* events : {&one, &other}) {
    std::stable_sort(events->begin(), events->end(),
                     [](const auto& a, const auto& b) { return a.kind < b.kind; });
  }
  const auto same = [](const DataPathEvent& a, const DataPathEvent& b) {
    return a.kind == b.kind && a.sa_number == b.sa_number && a.policy_number == b.policy_number &&
           a.flow == b.flow && a.mtu == b.mtu && a.interface == b.interface;
  };
  return std::equal(one.begin(), one.end(), other.begin(), other.end(), same);
}

void CheckSas(const std::vector<SaPtr>& one, const std::vector<SaPtr>& other) {
  for (std::size_t n = 0; n < one.size(); ++n) {
    CYGNET_CHECK(one[n]->lifetime().usage() == other[n]->lifetime().usage());
    CYGNET_CHECK(one[n]->lifetime().last_used() == other[n]->lifetime().last_used());
    CYGNET_CHECK(one[n]->ExportReplay() == other[n]->ExportReplay());
    for (std::size_t r = 0; r < kDropReasons; ++r) {
      CYGNET_CHECK(one[n]->drops(static_cast<DropReason>(r)) ==
                   other[n]->drops(static_cast<DropReason>(r)));
    }
  }
}

// Takes what both hosts put out and returns it.
std::vector<Bytes> CheckHosts(test::TestHost* one, test::TestHost* other) {
  std::vector<Bytes> frames = one->ToWire();
  CYGNET_CHECK(frames == other->ToWire());
  CYGNET_CHECK(one->ToHost() == other->ToHost());
  CYGNET_CHECK(SameEvents(one->Events(), other->Events()));
  for (std::size_t r = 0; r < kDropReasons; ++r) {
    CYGNET_CHECK(one->Drops(static_cast<DropReason>(r)) ==
                 other->Drops(static_cast<DropReason>(r)));
  }
  CYGNET_CHECK(one->path.inside.misses() == other->path.inside.misses());
  CYGNET_CHECK(one->guard().frames_checked == other->guard().frames_checked &&
               one->guard().clear_stopped == other->guard().clear_stopped);
  return frames;
}

void CheckLans(World* one, World* other) {
  if (one->lan_a == nullptr) return;
  for (const auto lan : {&World::lan_a, &World::lan_b}) {
    test::InsideLan& a = (one->*lan)->own;
    test::InsideLan& b = (other->*lan)->own;
    CYGNET_CHECK(a.ToLan() == b.ToLan());
    const InsideInterface::Counters& counts = a.interface().counters;
    const InsideInterface::Counters& others = b.interface().counters;
    CYGNET_CHECK(counts.in_packets == others.in_packets && counts.in_bytes == others.in_bytes &&
                 counts.out_packets == others.out_packets && counts.out_bytes == others.out_bytes);
  }
}

// What is waiting enters, and what leaves the sender reaches the receiver.
void Turn(World* one, World* other, Input* in) {
  one->a.Run();
  other->a.Run();
  const std::vector<Bytes> wire = Disturb(CheckHosts(&one->a, &other->a), in);
  for (World* world : {one, other}) {
    for (const Bytes& frame : wire) world->b.FromWire(frame);
    world->b.Run();
  }
  (void)CheckHosts(&one->b, &other->b);
  CheckLans(one, other);
  CheckSas(one->sas_a, other->sas_a);
  CheckSas(one->sas_b, other->sas_b);
  for (std::size_t p = 0; p < one->policies.size(); ++p) {
    CYGNET_CHECK(one->policies[p]->use_time == other->policies[p]->use_time);
  }
}

// The same packet several times, as most packets come. Returns how many.
std::size_t Enter(World* one, World* other, uint8_t step, std::size_t most, Input* in) {
  const bool of_lan = step >= 0x40 && step < 0x80;
  Bytes frame = MakeFrame(in);
  if (of_lan) frame = OfLan(std::move(frame), in);
  const std::size_t times = std::min<std::size_t>(step % 8 + 1u, most);
  for (World* world : {one, other}) {
    for (std::size_t i = 0; i < times; ++i) {
      if (of_lan) {
        world->FromLan(frame);
      } else {
        world->a.FromHost(frame);
      }
    }
  }
  return times;
}

void Play(World* straight, World* general, Input in) {
  constexpr std::size_t kMostWaiting = 200;
  std::size_t waiting = 0;
  while (!in.empty()) {
    const uint8_t step = in.Next();
    if (step < 0xc0) {
      waiting += Enter(straight, general, step, kMostWaiting - waiting, &in);
    } else if (step < 0xd0) {  // in clear, past the sender
      const Bytes frame = MakeFrame(&in);
      straight->b.FromWire(frame);
      general->b.FromWire(frame);
    } else if (step < 0xe8) {
      const uint8_t what = in.Next();
      const uint8_t n = in.Next();
      Change(straight, what, n);
      Change(general, what, n);
    } else {
      Turn(straight, general, &in);
      waiting = 0;
    }
  }
  Turn(straight, general, &in);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  // All live until exit: RcuHash hides its nodes from a leak checker.
  static World straight(1, false), general(DataPath::kNeverStraight, false);
  static World straight_inside(1, true), general_inside(DataPath::kNeverStraight, true);
  Play(&straight, &general, Input(data, size));
  Play(&straight_inside, &general_inside, Input(data, size));
  return 0;
}
