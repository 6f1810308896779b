// Refuses requests that the data path cannot enforce: the parsers accept what Linux accepts, and
// everything that is accepted must be enforced. doc/xfrm_protocol.md has the complete list.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "netlink/attribute.h"
#include "policy/policy.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {

// NEWSA, UPDSA.
Status RefuseSa(const xfrm_usersa_info& info, const netlink::AttributeTable& attributes);

// ALLOCSPI: an SA will follow.
Status RefuseSpi(uint8_t proto, const netlink::AttributeTable& attributes);

// NEWPOLICY, UPDPOLICY, and policies of sockets. A blocking policy is accepted with any selection:
// it blocks every packet that its selector matches.
Status RefusePolicy(const PolicySpec& policy, const netlink::AttributeTable& attributes);

// MIGRATE.
Status RefuseMigrate(const netlink::AttributeTable& attributes);

// MIGRATE_STATE. A mark that names the old SA counts too: the new SA would inherit it.
Status RefuseMigrateState(const MigrateState& state, const netlink::AttributeTable& attributes);

}  // namespace cygnet::xfrm
