#include "esp/overhead.h"

#include "esp/size.h"
#include "net/esp_view.h"

namespace cygnet::esp {
namespace {

int32_t OuterIpHeader(const OutboundSa& sa) {
  const auto header = static_cast<int32_t>(IpHeaderOf(sa.family));
  if (sa.mode == SaMode::kTunnel) return header;
  if (sa.mode != SaMode::kBeet) return 0;
  return header - static_cast<int32_t>(IpHeaderOf(sa.inner_family));
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
      {"ESP header", int32_t{kEspHeader}},
      {"IV", sa.layout.iv},
      {"options pseudo-header", pseudo ? int32_t{kBeetPhReserve} : 0},
      {"pad length and next header", int32_t{kTrailer}},
      {"ICV", sa.layout.icv},
  };
  std::vector<OverheadPart> parts;
  int32_t sum = 0;
  for (const OverheadPart& part : fixed) {
    if (part.bytes != 0) parts.push_back(part);
    sum += part.bytes;
  }
  const int32_t rest = static_cast<int32_t>(path_mtu) - static_cast<int32_t>(mtu) - sum;
  if (rest != 0) parts.push_back({"rounding", rest});
  return parts;
}

}  // namespace cygnet::esp
