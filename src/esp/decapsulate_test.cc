// ESP packets that were opened: what becomes of the trailer and the headers.
#include "esp/decapsulate.h"

#include <gtest/gtest.h>

#include "esp/crypto_jobs.h"
#include "net/esp_view.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Frame;
using test::IpFields;
using test::Pattern;
using test::SaOptions;

PacketPools& Pools() {
  static PacketPools pools{64, 2};
  return pools;
}

struct Opened {
  DropReason reason = DropReason::kNone;
  Bytes frame;
};

// An ESP packet whose payload is `text`, already opened, through both steps.
Opened Open(const Sa& sa, const IpFields& outer, const Bytes& text, const Bytes& udp = {}) {
  const Bytes esp = test::FromHexLike(sa) + text + Bytes(sa.inbound()->lengths.icv, 0xcc);
  Packet* packet = test::MakePacket(&Pools(), Frame(test::IpPacket(outer, udp + esp)));
  const auto view = ParseIpPacket(packet->l3());
  const uint32_t esp_offset = view->header_length + static_cast<uint32_t>(udp.size());
  esp::Trailer trailer;
  Opened out;
  out.reason = esp::ReadTrailer(*sa.inbound(), *packet, esp_offset, &trailer);
  if (out.reason == DropReason::kNone) {
    out.reason = esp::Decapsulate(*sa.inbound(), *view, esp_offset, trailer, packet);
  }
  out.frame = test::ToBytes(packet->bytes());
  test::FreePacket(packet);
  return out;
}

}  // namespace
}  // namespace cygnet
