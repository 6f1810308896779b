// Super-packets as a TAP or a wire's kernel delivers them: the checksum field holds the
// pseudo-header's sum.
#pragma once

#include "support/packet_builder.h"
#include "support/test_host.h"

namespace cygnet::test {

// `ip`: a TCP or UDP packet over IPv4 without options, or IPv6 without extension headers.
inline Packet* MakeSuperPacket(PacketPools* pools, const IpFields& fields, const Bytes& ip,
                               uint16_t segment) {
  Packet* packet = MakePacket(pools, Frame(ip));
  const bool v4 = ip[0] >> 4 == 4;
  const uint32_t header = v4 ? 20 : 40;
  const bool udp = ip[v4 ? 9 : 6] == 17;
  IpFields f = fields;
  f.proto = udp ? 17 : 6;
  const uint32_t sum = NaivePseudoSum(f, static_cast<uint32_t>(ip.size()) - header);
  packet->csum_start = static_cast<uint16_t>(14 + header);
  packet->csum_offset = udp ? 6 : 16;
  StoreBe16(packet->data() + packet->csum_start + packet->csum_offset,
            static_cast<uint16_t>(~NaiveChecksum({}, sum)));
  packet->csum_partial = true;
  packet->gso_type = udp ? GsoType::kUdp : v4 ? GsoType::kTcpV4 : GsoType::kTcpV6;
  packet->gso_size = segment;
  packet->l3_offset = 14;
  return packet;
}

}  // namespace cygnet::test
