#include "xfrm/expired_ends.h"

#include "xfrm/wire.h"

namespace cygnet::xfrm {

ExpiredEnds DecodeExpiredEnds(const Request& request) {
  const auto wire = request.Fixed<xfrm_user_expire>();
  const auto& state = wire.state;
  const auto family = static_cast<IpFamily>(state.family);
  return {.saddr = FromWire(state.saddr, family),
          .daddr = FromWire(state.id.daddr, family),
          .family = family,
          .reqid = Reqid(state.reqid)};
}

}  // namespace cygnet::xfrm
