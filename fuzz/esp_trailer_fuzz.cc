// The trailer and the inner packet AFTER authentication: a peer that holds the keys may seal
// anything. The real engine seals and opens the input under SAs of every mode and family. A packet
// that Decapsulate accepts must lie inside its buffer, have correct header fields, and survive
// another pass through both halves unchanged.
//
// Input: SA | outer TOS | bits 0-1: headers between outer IP header and ESP, bit 7: scarce headroom
//        | plaintext with its trailer.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "esp/crypto_jobs.h"
#include "esp/decapsulate.h"
#include "esp/encapsulate.h"
#include "net/esp_view.h"
#include "net/ethernet.h"
#include "support/test_sa.h"

namespace {

using namespace cygnet;  // NOLINT: a single-file program
using test::operator+;
using test::Bytes;

struct KeyedSa {
  SaPtr sa;
  std::unique_ptr<CryptoSession> seal;
  std::unique_ptr<CryptoSession> open;
};

struct World {
  PacketPools pools{64, 2};
  std::unique_ptr<CryptoEngine> engine;
  std::unique_ptr<CryptoQueue> queue;
  std::vector<KeyedSa> sas;

  World() {
    for (const EngineInfo* info : BuiltinEngines()) {
      if (info->name == "openssl") engine = info->create({});
    }
    CYGNET_CHECK(engine != nullptr);
    queue = engine->CreateQueue(0);
    using enum SaMode;
    const test::SaOptions v6{.src = "2001:db8::1", .dst = "2001:db8::2"};
    Add({});
    Add(v6);
    Add({.flags = kSaFlagDecapDscp, .tfc_pad = 700});
    Add({.src = v6.src,
         .dst = v6.dst,
         .flags = kSaFlagNoEcn,
         .encap = test::NatT(),
         .tfc_pad = 1400});
    Add({.mode = kTransport});
    Add({.src = v6.src, .dst = v6.dst, .mode = kTransport, .icv_bytes = 8});
    Add({.mode = kTransport, .encap = test::NatT()});
    Add({.mode = kBeet, .inner_src = "10.1.0.1", .inner_dst = "10.2.0.1"});
    Add({.src = v6.src,
         .dst = v6.dst,
         .mode = kBeet,
         .inner_src = "fd01::1",
         .inner_dst = "fd02::1"});
    Add({.src = v6.src,
         .dst = v6.dst,
         .mode = kBeet,
         .inner_src = "10.1.0.1",
         .inner_dst = "10.2.0.1"});
    Add({.mode = kBeet, .inner_src = "fd01::1", .inner_dst = "fd02::1"});
    Add({.mode = kBeet, .encap = test::NatT(), .inner_src = "10.1.0.1", .inner_dst = "10.2.0.1"});
  }

  void Add(const test::SaOptions& options) {
    KeyedSa keyed;
    keyed.sa = test::MakeSa(options);
    const SaSpec& spec = keyed.sa->spec();
    auto seal = engine->CreateSession(esp::SessionFor(spec, CryptoDirection::kSeal, 1));
    auto open = engine->CreateSession(esp::SessionFor(spec, CryptoDirection::kOpen, 1));
    CYGNET_CHECK(seal.has_value() && open.has_value());
    keyed.seal = std::move(*seal);
    keyed.open = std::move(*open);
    sas.push_back(std::move(keyed));
  }

  void Run(CryptoJob job) {
    CYGNET_CHECK(queue->Submit({&job, 1}) == 1 && job.status == CryptoStatus::kOk);
  }
};

// The outer packet around `text`, with room for the ICV at its end.
Bytes OuterFrame(const Sa& sa, uint8_t tos, unsigned between, const Bytes& text) {
  const SaSpec& spec = sa.spec();
  const bool v4 = spec.family == IpFamily::kV4;
  test::IpFields f{.src = ToString(spec.saddr, spec.family),
                   .dst = ToString(spec.daddr, spec.family),
                   .proto = spec.encap.has_value() ? uint8_t{17} : uint8_t{50},
                   .tos = tos};
  if (v4) {
    f.options = Bytes(between * 4, 1);
  } else if (between > 0) {  // destination options; or a routing header and options after it
    f.first_header = between == 1 ? 60 : 43;
    f.options = Bytes{f.proto, 0, 1, 4, 0, 0, 0, 0};
    if (between > 1) f.options = Bytes{60, 0, 4, 0, 0, 0, 0, 0} + f.options;
  }
  const EspLayout& layout = sa.inbound()->layout;
  Bytes upper = Bytes(layout.udp) + Bytes(kEspHeader + layout.iv, 0x33) + text + Bytes(layout.icv);
  test::Put32(&upper, layout.udp, spec.spi.value);
  if (layout.udp != 0) {
    test::Put32(&upper, 0, 4500u << 16 | 4500u);
    test::Put16(&upper, 4, static_cast<uint32_t>(upper.size()));
  }
  return test::Frame(test::IpPacket(f, upper));
}

void CheckBounds(const Packet& packet, const uint8_t* buffer) {
  CYGNET_CHECK(packet.buffer == buffer && packet.head + packet.length <= packet.capacity);
  CYGNET_CHECK(packet.l3_offset == kEthernetHeader && packet.length >= packet.l3_offset);
}

// The header fields of the result must be correct.
void CheckInner(const Sa& sa, const IpPacketView& ip, const Packet& packet) {
  const std::span<const uint8_t> l3 = packet.l3();
  const bool v4 = ip.flow.family == IpFamily::kV4;
  CYGNET_CHECK(ip.total_length == l3.size());
  CYGNET_CHECK(ParseEtherType(packet.bytes())->type == (v4 ? kEtherTypeIpv4 : kEtherTypeIpv6));
  if (sa.spec().mode == SaMode::kTunnel) return;  // its header comes from the peer
  CYGNET_CHECK(!v4 || test::Ipv4HeaderChecksumHolds(l3));
  if (sa.spec().mode == SaMode::kBeet) {
    CYGNET_CHECK(ip.flow.saddr == sa.spec().selector->saddr);
    CYGNET_CHECK(ip.flow.daddr == sa.spec().selector->daddr);
  }
}

// Opens the packet if needed and decapsulates it. On kNone the packet is the inner one.
DropReason TakeApart(World* world, const KeyedSa& keyed, Packet* packet) {
  const auto outer = ParseIpPacket(packet->l3());
  CYGNET_CHECK(outer.has_value());
  const EspView view = ClassifyWirePacket(*outer, packet->l3(), kNatTPorts);
  CYGNET_CHECK(view.kind == WireKind::kEsp);
  const InboundSa& in = *keyed.sa->inbound();
  const std::span<uint8_t> esp =
      packet->l3().subspan(view.esp_offset, outer->total_length - view.esp_offset);
  if (!esp::HasRoomForJob(in.layout, esp.size())) return DropReason::kInTruncated;
  CryptoJob job;
  esp::BuildJob(esp::ParamsOf(in, keyed.open.get()), esp, 0, &job);
  world->Run(job);
  esp::Trailer trailer;
  const DropReason reason = esp::ReadTrailer(in, *packet, view.esp_offset, &trailer);
  if (reason != DropReason::kNone) return reason;
  return esp::Decapsulate(in, *outer, view.esp_offset, trailer, packet);
}

void Seal(World* world, const KeyedSa& keyed, std::span<uint8_t> esp) {
  CryptoJob job;
  esp::BuildJob(esp::ParamsOf(*keyed.sa->outbound(), keyed.seal.get()), esp, 0, &job);
  world->Run(job);
}

// Sent again under the same SA, the packet must arrive unchanged.
void CheckRoundTrip(World* world, const KeyedSa& keyed, const IpPacketView& ip, Packet* packet) {
  // As in Linux, next header 59 inside ESP means a dummy packet in every mode, and 94 in BEET mode
  // means the pseudo-header.
  const SaMode mode = keyed.sa->spec().mode;
  if (mode != SaMode::kTunnel && ip.flow.proto == kProtoNone) return;
  if (mode == SaMode::kBeet && ip.flow.proto == kProtoBeetPh) return;
  const Bytes before = test::ToBytes(packet->bytes());
  const DropReason reason = esp::Encapsulate(*keyed.sa->outbound(), ip, 1, 1500, packet);
  if (reason != DropReason::kNone) {
    CYGNET_CHECK(reason == DropReason::kOutModeError || reason == DropReason::kOutNoRoom);
    return;
  }
  Seal(world, keyed, packet->bytes().subspan(packet->offload.esp_offset));
  const DropReason back = TakeApart(world, keyed, packet);
  CYGNET_CHECK(back == DropReason::kNone && test::ToBytes(packet->bytes()) == before);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static World* const world = new World;
  if (size < 5 || size > 2000) return 0;
  const KeyedSa& keyed = world->sas[data[0] % world->sas.size()];
  const Bytes text(data + 3, data + size);
  Packet* packet =
      test::MakePacket(&world->pools, OuterFrame(*keyed.sa, data[1], data[2] & 3u, text));
  if ((data[2] & 0x80) != 0) {
    std::memmove(packet->buffer, packet->data(), packet->length);
    packet->head = 0;
  }
  const uint8_t* buffer = packet->buffer;
  const auto outer = ParseIpPacket(packet->l3());
  const uint32_t at = outer->header_length + keyed.sa->inbound()->layout.udp;
  Seal(world, keyed, packet->l3().subspan(at));
  const DropReason reason = TakeApart(world, keyed, packet);
  CheckBounds(*packet, buffer);
  if (reason == DropReason::kNone) {
    if (const auto inner = ParseIpPacket(packet->l3())) {
      CheckInner(*keyed.sa, *inner, *packet);
      CheckRoundTrip(world, keyed, *inner, packet);
      CheckBounds(*packet, buffer);
    }
  }
  test::FreePacket(packet);
  return 0;
}
