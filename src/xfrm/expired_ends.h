// The addresses of the SA of an EXPIRE, as far as the message has them.
#pragma once

#include "base/ids.h"
#include "net/address.h"
#include "xfrm/request.h"

namespace cygnet::xfrm {

struct ExpiredEnds {
  IpAddress saddr;
  IpAddress daddr;
  IpFamily family = IpFamily::kUnspec;
  Reqid reqid;
};

// REQUIRES: an EXPIRE.
ExpiredEnds DecodeExpiredEnds(const Request& request);

}  // namespace cygnet::xfrm
