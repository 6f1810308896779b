// MIGRATE and the ACQUIRE request: requests of key managers to other key managers, sent through the
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
