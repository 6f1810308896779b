#include "esp/framing.h"

#include <cstring>

#include "base/endian.h"
#include "esp/size.h"
#include "net/esp_view.h"

namespace cygnet::esp {

void AppendTrailer(const OutboundSa& sa, uint32_t payload, uint32_t tfc, uint8_t next_header,
                   Packet* packet) {
  const uint32_t pad = PadFor(payload + tfc, sa.layout.align);
  uint8_t* out = packet->Append(tfc + pad + kTrailer + sa.layout.icv);
  std::memset(out, 0, tfc);
  out += tfc;
  for (uint32_t i = 0; i < pad; ++i) out[i] = static_cast<uint8_t>(i + 1);
  out[pad] = static_cast<uint8_t>(pad);
  out[pad + 1] = next_header;
  std::memset(out + pad + kTrailer, 0, sa.layout.icv);
}

void WriteEspHeader(const OutboundSa& sa, uint64_t seq, uint32_t esp_length, uint8_t* out) {
  const uint8_t* tmpl = sa.header.data() + sa.header_length - 4 - sa.layout.udp;
  std::memcpy(out, tmpl, sa.layout.udp + 4u);
  if (sa.layout.udp != 0) {
    StoreBe32(out, sa.udp_ports.load(std::memory_order_relaxed));
    StoreBe16(out + 4, static_cast<uint16_t>(esp_length + 8));
  }
  uint8_t* esp = out + sa.layout.udp;
  StoreBe32(esp + 4, static_cast<uint32_t>(seq));
  // A counter mode's IV as it is; what a block mode's IV is made from (crypto/algorithm.h).
  if (sa.layout.iv >= 8) {
    StoreBe64(esp + kEspHeader, seq ^ sa.iv_mask);
    std::memset(esp + kEspHeader + 8, 0, sa.layout.iv - 8u);
  }
}

}  // namespace cygnet::esp
