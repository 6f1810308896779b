// Fragments of either family in any order, overlapping or truncated: none is lost, none is kept too
// long, and the result is a whole packet. The input is a list of commands: a byte that selects the
// fragment's fields, the values they need, and a data length; or a raw packet; or a passage of
// time.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/endian.h"
#include "datapath/reassembly.h"
#include "net/ip_protocol.h"
#include "support/fragment_builder.h"

namespace {

using namespace cygnet;  // NOLINT: a single-file program

constexpr uint32_t kSmall = 512;
constexpr uint32_t kJumbo = 24;
constexpr uint32_t kLarge = 160;
constexpr int kMaxCommands = 100;  // more than the allowed fragments of a datagram

struct World {
  PacketPools pools{kSmall, kJumbo, kLarge};
  PacketCaches caches{&pools};
  DropCounters counters;
  DropSink sink{&caches, &counters};
  Reassembler reassembler{&sink, 1};
  uint64_t now_ms = 1'000'000;
};

// Reads the input, then zeros.
class Input {
 public:
  Input(const uint8_t* data, std::size_t size) : rest_(data, size) {}
  bool empty() const { return rest_.empty(); }
  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const uint8_t b = rest_[0];
    rest_ = rest_.subspan(1);
    return b;
  }
  uint16_t Word() { return static_cast<uint16_t>(Byte() << 8 | Byte()); }
  test::Bytes Take(std::size_t n) {
    n = std::min(n, rest_.size());
    const test::Bytes out(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(n));
    rest_ = rest_.subspan(n);
    return out;
  }

 private:
  std::span<const uint8_t> rest_;
};

// bit 0: family, 1: more, 2 – 3: id, 4: protocol, 5: raw upper-layer protocol, 6: long, 7: ECN.
test::Bytes BuildFragment(uint8_t choice, Input* input) {
  test::IpFields f;
  const bool v4 = (choice & 1) != 0;
  f.src = v4 ? "192.0.2.1" : "2001:db8::1";
  f.dst = v4 ? "192.0.2.2" : "2001:db8::2";
  f.proto = (choice & 0x20) != 0 ? input->Byte() : (choice & 0x10) != 0 ? kProtoUdp : kProtoEsp;
  f.tos = (choice & 0x80) != 0 ? input->Byte() : 0;
  const std::size_t offset = input->Word() % 8192 * 8u;
  const std::size_t length = (choice & 0x40) != 0 ? input->Word() % 4096u : input->Byte() * 8u;
  test::Bytes data = input->Take(length);
  data.resize(length, 0x5a);
  const bool more = (choice & 2) != 0;
  const uint32_t id = choice >> 2 & 3;
  if (v4) {
    f.id = static_cast<uint16_t>(id);
    f.fragment = static_cast<uint16_t>(offset / 8 | (more ? 0x2000u : 0u));
    return IpPacket(f, data);
  }
  f.options = test::FragmentHeader(f.proto, offset, more, id);
  f.first_header = kProtoFragment;
  return IpPacket(f, data);
}

// Checks a reassembled packet.
void CheckWhole(const Packet& whole) {
  const std::span<const uint8_t> l3 = whole.l3();
  const auto ip = ParseIpPacket(l3);
  CYGNET_CHECK(ip.has_value() && !ip->fragment);
  CYGNET_CHECK(ip->total_length == l3.size() && l3.size() <= kMaxIpPacket);
  CYGNET_CHECK(whole.tailroom() >= kPacketTailroom && whole.head <= whole.capacity);
  if (l3[0] >> 4 == 4) CYGNET_CHECK(test::Ipv4HeaderChecksumHolds(l3));
}

void AddFrame(World* world, const test::Bytes& l3) {
  if (l3.empty()) return;
  const test::Bytes frame = test::Frame(l3);
  if (frame.size() > kJumboFrame) return;
  Packet* packet = test::MakePacket(&world->pools, frame);
  const auto ip = ParseIpPacket(packet->l3());
  if (!ip || !ip->fragment) {
    world->sink.Recycle(packet);
    return;
  }
  if (Packet* whole = world->reassembler.Add(packet, *ip, world->now_ms)) {
    CheckWhole(*whole);
    world->sink.Recycle(whole);
  }
  CYGNET_CHECK(world->reassembler.bytes_held() <= Reassembler::kMaxBytes);
  CYGNET_CHECK(world->reassembler.in_progress() <= Reassembler::kMaxDatagrams);
}

// All packets are back in the pools and their caches.
void CheckPools(World* world) {
  uint32_t small = 0;
  uint32_t jumbo = 0;
  uint32_t large = 0;
  std::vector<Packet*> taken;
  while (Packet* p = world->caches.small.Take()) taken.push_back(p), ++small;
  while (Packet* p = world->caches.jumbo.Take()) taken.push_back(p), ++jumbo;
  while (Packet* p = world->caches.large.Take()) taken.push_back(p), ++large;
  CYGNET_CHECK(small == kSmall && jumbo == kJumbo && large == kLarge);
  for (Packet* p : taken) world->sink.Recycle(p);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static World* const world = new World;
  if (size > 20'000) return 0;
  Input input(data, size);
  for (int i = 0; i < kMaxCommands && !input.empty(); ++i) {
    const uint8_t choice = input.Byte();
    if (choice == 0xff) {
      world->now_ms += input.Word() * 10u;
      world->reassembler.Expire(world->now_ms);
    } else if (choice == 0xfe) {
      AddFrame(world, input.Take(input.Word() % 2048u));
    } else {
      AddFrame(world, BuildFragment(choice, &input));
    }
  }
  world->now_ms += Reassembler::kTimeoutV6Ms;
  world->reassembler.Expire(world->now_ms);
  CYGNET_CHECK(world->reassembler.Idle() && world->reassembler.bytes_held() == 0);
  CheckPools(world);
  return 0;
}
