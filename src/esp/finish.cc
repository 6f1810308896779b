#include "esp/finish.h"

#include "base/endian.h"
#include "net/checksum.h"
#include "net/ip_protocol.h"

namespace cygnet::esp {

void FinishUdpChecksum(const OutboundSa& sa, Packet* packet) {
  const uint8_t* ip = packet->data() + packet->l3_offset;
  const std::span<uint8_t> udp =
      packet->bytes().subspan(packet->offload.esp_offset - sa.layout.udp);
  const uint64_t pseudo =
      PseudoHeaderSum(IpAddress::V6(ip + 8), IpAddress::V6(ip + 24), IpFamily::kV6, kProtoUdp,
                      static_cast<uint32_t>(udp.size()));
  StoreBe16(udp.data() + 6, 0);
  const uint16_t sum = ChecksumFinish(ChecksumAdd(udp, pseudo));
  StoreBe16(udp.data() + 6, sum == 0 ? uint16_t{0xffff} : sum);  // 0 would mean no checksum
}

}  // namespace cygnet::esp
