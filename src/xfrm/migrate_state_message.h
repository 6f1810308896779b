// MIGRATE_STATE (Linux 7.2): moves one SA, named by its identity, to other addresses.
#pragma once

#include "base/result.h"
#include "netlink/buffer.h"
#include "requests/control_event.h"
#include "sa/sa_view.h"
#include "xfrm/request.h"
#include "xfrm/sa_message.h"

namespace cygnet::xfrm {

// What depends on the SA is checked where the SA is known.
Result<SaMigration> DecodeMigrateState(const Request& request);
// Group kMigrate. `moved`: the SA at its new place.
netlink::Buffer EncodeSaMigrated(const SaMigration& migration, const SaView& moved, ReplyTo to);

}  // namespace cygnet::xfrm
