// Checks of drivers: packet offload.
#include "conformance/driver_checks.h"
#include "net/ip_protocol.h"

namespace cygnet::conformance {
namespace {

using Out = DriverBench::Out;
using Kind = PacketOffloadEvent::Kind;

constexpr uint64_t kIvMask = 0x0123456789abcdef;
constexpr uint32_t kNumber = 77;
constexpr NumberBlock kBlock{1, 1000};

std::optional<OffloadHandle> StartPacket(DriverBench* b, const EspSample& sample, Half half,
                                         const NumberBlock& numbers = kBlock) {
  const SaSpec spec = sample.spec().Clone();
  const auto handle = b->Install({.spec = spec,
                                  .half = half,
                                  .mode = OffloadMode::kPacket,
                                  .numbers = numbers,
                                  .number = kNumber,
                                  .iv_mask = IsInbound(half) ? 0 : kIvMask});
  if (handle.has_value()) b->device().StartSa(*handle);
  return handle;
}

// All traffic, by a tunnel of the SA.
PolicySpec Tunnel(const EspSample& sample, PolicyAction action = PolicyAction::kAllow) {
  PolicySpec policy;
  policy.selector.family = IpFamily::kV4;
  policy.action = action;
  if (action == PolicyAction::kAllow) {
    Template t;
    t.daddr = sample.spec().daddr;
    t.saddr = sample.spec().saddr;
    t.family = IpFamily::kV4;
    t.proto = kProtoEsp;
    t.mode = static_cast<uint8_t>(SaMode::kTunnel);
    policy.templates.push_back(t);
  }
  return policy;
}

std::optional<OffloadPolicyHandle> Add(DriverBench* b, const PolicySpec& policy) {
  OffloadPolicyHandle handle;
  auto refused = b->device().AddPolicy({policy}, &handle);
  if (!refused.has_value()) return handle;
  b->refusal = *std::move(refused);
  return std::nullopt;
}

Out ToProtect(OffloadHandle handle, std::size_t payload) {
  return {.frame = ClearFrame(payload),
          .meta = {.handle = handle, .status = OffloadStatus::kProtectRequested}};
}

Bytes InnerOf(const Bytes& frame) { return {frame.begin() + kEthernetHeader, frame.end()}; }

// A check begins with an outbound SA and its policy.
struct Protected {
  Protected(DriverBench* b, const NumberBlock& numbers, SampleOptions options = {})
      : sample(b->Sample(options)),
        policy(Add(b, Tunnel(sample))),
        handle(StartPacket(b, sample, Half::kOutbound, numbers)) {}
  bool ok() const { return policy.has_value() && handle.has_value(); }
  EspSample sample;
  std::optional<OffloadPolicyHandle> policy;
  std::optional<OffloadHandle> handle;
};

// Frames that must be packets of the SA with these numbers; payloads are 100, 101, …, in order.
Outcome AreProtected(const EspSample& sample, const std::vector<Bytes>& sent, uint64_t first,
                     std::size_t count, std::size_t payload = 100) {
  CONFORMANCE_REQUIRE(
      sent.size() == count,
      std::to_string(sent.size()) + " packets left instead of " + std::to_string(count));
  for (std::size_t i = 0; i < count; ++i) {
    const std::string which = "packet " + std::to_string(i + 1) + " of " + std::to_string(count);
    CONFORMANCE_REQUIRE(sent[i] != ClearFrame(payload + i), which + " left in clear");
    const auto opened = sample.OpenTunnel(sent[i]);
    CONFORMANCE_REQUIRE(opened.has_value(), which + " is not sealed with the key of its SA");
    CONFORMANCE_REQUIRE(opened->seq == first + i, which + " has number " +
                                                      std::to_string(opened->seq) + ", not " +
                                                      std::to_string(first + i));
    CONFORMANCE_REQUIRE(opened->inner == InnerOf(ClearFrame(payload + i)),
                        which + " has another inner packet");
    const bool explicit_iv = sample.layout().iv == 8;
    CONFORMANCE_REQUIRE(!explicit_iv || opened->iv == ((first + i) ^ kIvMask),
                        which + ": its IV is not the number XOR iv_mask");
  }
  return Kept();
}

std::vector<Out> Burst(OffloadHandle handle, std::size_t count, std::size_t payload = 100) {
  std::vector<Out> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(ToProtect(handle, payload + i));
  return out;
}

bool Raises(DriverBench* b, OffloadHandle handle, Kind kind) {
  return b->Wait([&] {
    b->Poll(0);
    for (const PacketOffloadEvent& event : b->device().TakeEvents()) {
      if (event == PacketOffloadEvent{handle, kind}) return true;
    }
    return false;
  });
}

Outcome PacketProtects(DriverBench* b) {
  const Protected sa(b, kBlock);
  CONFORMANCE_REQUIRE(sa.ok(), "refused: " + b->refusal.text);
  return AreProtected(sa.sample, b->Send(Burst(*sa.handle, 8), 8), 1, 8);
}

Outcome PacketUdp(DriverBench* b) {
  if (!b->device().caps().packet_udp_encap) {
    return NotApplicable("it has no UDP encapsulation with packet offload");
  }
  constexpr uint16_t kPort = 4500;
  const Protected sa(b, kBlock, {.udp_port = kPort});
  CONFORMANCE_REQUIRE(sa.ok(), "refused: " + b->refusal.text);
  const auto sent = b->Send(Burst(*sa.handle, 2), 2);
  constexpr std::size_t kProtocol = kEthernetHeader + 9;
  CONFORMANCE_REQUIRE(!sent.empty() && sent[0][kProtocol] == kProtoUdp,
                      "a packet of an SA with UDP encapsulation is not UDP");
  return AreProtected(sa.sample, sent, 1, 2);
}

Outcome PacketPolicies(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = StartPacket(b, sample, Half::kOutbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  const auto nothing_leaves = [&] { return b->Send(Burst(*handle, 1), 0).empty(); };
  CONFORMANCE_REQUIRE(nothing_leaves(), "a packet without a policy left");
  auto tunnel = Tunnel(sample);
  tunnel.priority = 10;
  const auto allow = Add(b, tunnel);
  CONFORMANCE_REQUIRE(allow.has_value(), "refused: " + b->refusal.text);
  Outcome outcome = AreProtected(sample, b->Send(Burst(*handle, 1), 1), 1, 1);
  if (outcome.verdict != Verdict::kKept) return outcome;
  const auto block = Add(b, Tunnel(sample, PolicyAction::kBlock));
  CONFORMANCE_REQUIRE(block.has_value(), "refused: " + b->refusal.text);
  CONFORMANCE_REQUIRE(nothing_leaves(), "a packet left that the first policy blocks");
  b->device().RemovePolicy(*block);
  outcome = AreProtected(sample, b->Send(Burst(*handle, 1), 1), 2, 1);
  if (outcome.verdict != Verdict::kKept) return outcome;
  b->device().RemovePolicy(*allow);
  CONFORMANCE_REQUIRE(nothing_leaves(), "a packet left after its policy was removed");
  return Kept();
}

Outcome PacketNumbers(DriverBench* b) {
  const Protected sa(b, {5, 8});
  CONFORMANCE_REQUIRE(sa.ok(), "refused: " + b->refusal.text);
  b->Transmit(Burst(*sa.handle, 6));
  CONFORMANCE_REQUIRE(Raises(b, *sa.handle, Kind::kNumbersLow),
                      "NUMBERS_LOW is not raised when a block is used up");
  auto sent = b->Sent(4);
  for (Bytes& late : b->Sent(0)) sent.push_back(std::move(late));
  Outcome outcome = AreProtected(sa.sample, sent, 5, 4);
  if (outcome.verdict != Verdict::kKept) return outcome;
  b->device().Grant(*sa.handle, {9, 12});
  return AreProtected(sa.sample, b->Sent(2), 9, 2, 104);
}

Outcome PacketLimits(DriverBench* b) {
  const Protected sa(b, kBlock);
  CONFORMANCE_REQUIRE(sa.ok(), "refused: " + b->refusal.text);
  b->device().SetLimits(*sa.handle, {.soft_packets = 2, .hard_packets = 4});
  b->Transmit(Burst(*sa.handle, 3));
  CONFORMANCE_REQUIRE(Raises(b, *sa.handle, Kind::kSoftLimit), "SOFT_LIMIT is not raised");
  b->Transmit(Burst(*sa.handle, 3, 103));
  CONFORMANCE_REQUIRE(Raises(b, *sa.handle, Kind::kHardLimit), "HARD_LIMIT is not raised");
  auto sent = b->Sent(4);
  for (Bytes& late : b->Sent(0)) sent.push_back(std::move(late));
  return AreProtected(sa.sample, sent, 1, 4);
}

// --- Inbound ---

Bytes Inner(std::size_t payload) { return InnerOf(ClearFrame(payload)); }

Outcome PacketDecapsulates(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = StartPacket(b, sample, Half::kInbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  for (uint64_t seq = 1; seq <= 4; ++seq) {
    const auto up = b->Arrive({sample.SealedTunnel(seq, Inner(100 + seq))});
    CONFORMANCE_REQUIRE(up.size() == 1 && up[0].meta.status == OffloadStatus::kDecapsulated,
                        "a packet of its SA does not come up as DECAPSULATED");
    CONFORMANCE_REQUIRE(up[0].sa_number == kNumber && up[0].meta.handle == *handle,
                        "a decapsulated packet does not name its SA");
    CONFORMANCE_REQUIRE(InnerOf(up[0].frame) == Inner(100 + seq),
                        "a decapsulated packet is not the inner packet");
  }
  return Kept();
}

Outcome PacketReplay(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = StartPacket(b, sample, Half::kInbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  CONFORMANCE_REQUIRE(b->Arrive({sample.SealedTunnel(200, Inner(100))}).size() == 1,
                      "a packet of its SA does not come up");
  for (const uint64_t seq : {200u, 200u - sample.spec().replay_window()}) {
    b->wire()->Feed(0, sample.SealedTunnel(seq, Inner(100)));
    CONFORMANCE_REQUIRE(b->Received(0).empty(),
                        "a replayed packet came up, or one older than the window");
  }
  Bytes forged = sample.SealedTunnel(201, Inner(100));
  forged.back() ^= 1;
  b->wire()->Feed(0, forged);
  CONFORMANCE_REQUIRE(b->Received(0).empty(), "a forged packet came up");
  const auto counted = [&] {
    const auto reading = b->device().Read(*handle);
    return reading.has_value() && reading->replayed == 2 && reading->auth_failed == 1;
  };
  CONFORMANCE_REQUIRE(b->Wait(counted), "2 replayed and 1 forged packet are not in its reading");
  return Kept();
}

Outcome PacketBlocks(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = StartPacket(b, sample, Half::kInbound, {10, 20});
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  const Bytes below = sample.SealedTunnel(9, Inner(100));
  auto up = b->Arrive({below});
  CONFORMANCE_REQUIRE(
      up.size() == 1 && up[0].meta.status == OffloadStatus::kNone && up[0].frame == below,
      "a packet below the block does not pass unchanged");
  b->wire()->Feed(0, sample.SealedTunnel(21, Inner(101)));
  CONFORMANCE_REQUIRE(b->Received(0).empty(), "a packet above the block came up before grant");
  b->device().Grant(*handle, {10, 30});
  up = b->Received(1);
  CONFORMANCE_REQUIRE(up.size() == 1 && up[0].meta.status == OffloadStatus::kDecapsulated &&
                          InnerOf(up[0].frame) == Inner(101),
                      "a packet that waited does not come up after grant");
  return Kept();
}

Outcome PacketReadings(DriverBench* b) {
  const Protected sa(b, {5, 100});
  CONFORMANCE_REQUIRE(sa.ok(), "refused: " + b->refusal.text);
  (void)b->Send(Burst(*sa.handle, 3), 3);
  const auto counted = [&] {
    const auto r = b->device().Read(*sa.handle);
    return r.has_value() && r->packets == 3 && r->bytes > 0 && r->highest == 7 && r->taken_at > 0;
  };
  CONFORMANCE_REQUIRE(b->Wait(counted),
                      "3 packets from number 5 on are not in its reading, with bytes and time");
  const auto used = [](const OffloadStats& s) { return s.outbound_used == 1 && s.sealed == 3; };
  CONFORMANCE_REQUIRE(b->StatsWhen(used).has_value(),
                      "its statistics do not show 1 SA and 3 sealed packets");
  return Kept();
}

Outcome PacketState(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = StartPacket(b, sample, Half::kInbound);
  CONFORMANCE_REQUIRE(handle.has_value(), "refused: " + b->refusal.text);
  for (const uint64_t seq : {1u, 2u, 4u}) (void)b->Arrive({sample.SealedTunnel(seq, Inner(100))});
  b->device().StopSa(*handle);
  const auto state = b->device().TakeState(*handle);
  CONFORMANCE_REQUIRE(state.has_value(), "take_state refuses after stop_sa");
  CONFORMANCE_REQUIRE(state->reading.packets == 3 && state->reading.highest == 4,
                      "the final reading does not have 3 packets up to number 4");
  const auto accepted = [&](uint64_t seq) {
    const uint64_t bit = (seq - 1) % sample.spec().replay_window();
    return bit / 32 < state->bitmap.size() && (state->bitmap[bit / 32] >> (bit % 32) & 1) != 0;
  };
  CONFORMANCE_REQUIRE(accepted(1) && accepted(2) && !accepted(3) && accepted(4),
                      "the bitmap does not have the numbers 1, 2 and 4");
  return Kept();
}

Outcome PacketErased(DriverBench* b) {
  const Protected sa(b, kBlock);
  CONFORMANCE_REQUIRE(sa.ok(), "refused: " + b->refusal.text);
  b->device().StopSa(*sa.handle);
  b->device().ReleaseSa(*sa.handle);
  const auto erased = b->Erased(1);
  CONFORMANCE_REQUIRE(erased.size() == 1 && erased[0] == *sa.handle,
                      "a released SA is not reported as erased");
  CONFORMANCE_REQUIRE(!b->device().Read(*sa.handle).has_value(),
                      "an erased SA still has a reading");
  CONFORMANCE_REQUIRE(b->Send(Burst(*sa.handle, 1), 0).empty(), "a packet of an erased SA left");
  return Kept();
}

}  // namespace

std::span<const Check> DriverPacketChecks() {
  static constexpr Check kChecks[] = {
      {"packet-protects", "it encapsulates, numbers and seals, with the IV of the number",
       With<PacketProtects, Need::kPacket>},
      {"packet-udp", "it encapsulates in UDP", With<PacketUdp, Need::kPacket>},
      {"packet-policies", "what no policy protects never leaves",
       With<PacketPolicies, Need::kPacket>},
      {"packet-numbers", "it uses no number beyond its block, and asks for more",
       With<PacketNumbers, Need::kPacket>},
      {"packet-limits", "it raises limits, and stops at the hard one",
       With<PacketLimits, Need::kPacket>},
      {"packet-decapsulates", "it hands up the inner packet with its SA",
       With<PacketDecapsulates, Need::kPacket>},
      {"packet-replay", "replayed, old and forged packets do not come up, and are counted",
       With<PacketReplay, Need::kPacket>},
      {"packet-blocks", "numbers below the block pass, those above it wait",
       With<PacketBlocks, Need::kPacket>},
      {"packet-readings", "readings and statistics count", With<PacketReadings, Need::kPacket>},
      {"packet-state", "its final state has the replay bitmap", With<PacketState, Need::kPacket>},
      {"packet-erased", "nothing of a released SA stays", With<PacketErased, Need::kPacket>},
  };
  return kChecks;
}

}  // namespace cygnet::conformance
