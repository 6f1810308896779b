// Whatever the host declares about a super-packet, the segments carry the same bytes with correct
// lengths and checksums; joined again they equal the original.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/endian.h"
#include "datapath/coalesce.h"
#include "device/segment.h"
#include "net/ethernet.h"
#include "support/packet_builder.h"

namespace {

using namespace cygnet;  // NOLINT: a single-file program

struct World {
  PacketPools pools{512, 16, 64};
  PacketCaches caches{&pools};
  DropCounters counters;
  DropSink sink{&caches, &counters};
  Coalescer coalescer;
};

uint32_t PayloadLength(const Packet& packet) {
  const auto ip = ParseIpPacket(packet.l3());
  CYGNET_CHECK(ip.has_value());
  const uint8_t* tcp = packet.l3().data() + ip->header_length;
  return ip->total_length - ip->header_length - (tcp[12] >> 4) * 4u;
}

void CutAndJoin(World* world, Packet* super, const IpPacketView& ip) {
  Segmenter segmenter;
  if (!segmenter.Begin(*super, ip)) return;
  const uint32_t payload = PayloadLength(*super);
  const uint32_t largest = segmenter.LargestSegment();
  PacketBatch batch;
  uint32_t cut = 0;
  while (!segmenter.Done() && !batch.full()) {
    IpPacketView view;
    Packet* segment = segmenter.Next(&world->caches, &view);
    CYGNET_CHECK(segment != nullptr);
    CYGNET_CHECK(view.total_length == segment->length - segment->l3_offset);
    CYGNET_CHECK(view.total_length <= largest);
    const std::span<const uint8_t> l3 = segment->l3();
    if (ip.flow.family == IpFamily::kV4) {
      CYGNET_CHECK(test::Ipv4HeaderChecksumHolds(l3));
      CYGNET_CHECK(test::UpperChecksumHolds(l3));
    } else if (!ip.has_options) {
      CYGNET_CHECK(test::UpperChecksumHolds(l3));
    }
    cut += PayloadLength(*segment);
    batch.Push(segment);
  }
  if (segmenter.Done()) CYGNET_CHECK(cut == payload);
  world->coalescer.Run(&batch, &world->sink);
  uint32_t joined = 0;
  for (Packet* packet : batch.packets()) {
    joined += PayloadLength(*packet);
    world->sink.Recycle(packet);
  }
  batch.ReleaseAll();
  CYGNET_CHECK(joined == cut);
}

}  // namespace

// gso_size(2) csum_start(2) csum_offset(2) frame
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static World* const world = new World;
  if (size < 7 || size > 20'000) return 0;
  Packet* packet = test::MakePacket(&world->pools, {data + 6, size - 6});
  packet->gso_size = LoadBe16(data);
  packet->csum_start = LoadBe16(data + 2);
  packet->csum_offset = LoadBe16(data + 4);
  packet->csum_partial = true;
  const auto type = ParseEtherType(packet->bytes());
  const auto ip =
      type && type->IsIp() ? ParseIpPacket(packet->bytes().subspan(type->l3_offset)) : std::nullopt;
  if (ip) {
    packet->l3_offset = type->l3_offset;
    if (packet->gso_size > 0) CutAndJoin(world, packet, *ip);
  }
  const uint32_t length = packet->length;
  (void)FinishChecksum(packet);
  CYGNET_CHECK(packet->length == length);
  world->sink.Recycle(packet);
  return 0;
}
