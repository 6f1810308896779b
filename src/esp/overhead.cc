#include "esp/overhead.h"

#include "esp/size.h"
#include "net/esp_view.h"

namespace cygnet::esp {
namespace {

uint32_t OuterIpHeader(const OutboundSa& sa) {
  const uint32_t header = IpHeaderOf(sa.family);
  if (sa.mode == SaMode::kTunnel) return header;
  const bool longer = sa.mode == SaMode::kBeet && sa.inner_family == IpFamily::kV4;
  return longer ? header - kIpv4Header : 0;
}

}  // namespace

std::vector<OverheadPart> ExplainOverhead(const OutboundSa& sa, uint32_t path_mtu,
                                          uint32_t inner_header) {
  const uint32_t mtu = InnerMtu(sa, path_mtu, inner_header);
  if (mtu == 0) return {};
  const bool pseudo = sa.mode == SaMode::kBeet && sa.inner_family == IpFamily::kV4;
  const OverheadPart fixed[] = {
      {"outer IP header", OuterIpHeader(sa)},
      {"UDP header", sa.layout.udp},
      {"ESP header", kEspHeader},
      {"IV", sa.layout.iv},
      {"options pseudo-header", pseudo ? kBeetPhReserve : 0},
      {"pad length and next header", kTrailer},
      {"ICV", sa.layout.icv},
  };
  std::vector<OverheadPart> parts;
  uint32_t sum = 0;
  for (const OverheadPart& part : fixed) {
    if (part.bytes > 0) parts.push_back(part);
    sum += part.bytes;
  }
  if (path_mtu - mtu > sum) parts.push_back({"rounding", path_mtu - mtu - sum});
  return parts;
}

}  // namespace cygnet::esp
