// MIGRATE and the ACQUIRE request: what key management asks of other key managers, by way of the
// daemon.
#pragma once

#include "base/result.h"
#include "netlink/buffer.h"
#include "requests/control_event.h"
#include "xfrm/request.h"

namespace cygnet::xfrm {

Result<Migration> DecodeMigrate(const Request& request);
// Group kMigrate.
netlink::Buffer EncodeMigrated(const Migration& migration);

Result<AcquireRequest> DecodeAcquire(const Request& request);
// Group kAcquire.
netlink::Buffer EncodeAcquireRequested(const AcquireRequested& acquire);

}  // namespace cygnet::xfrm
