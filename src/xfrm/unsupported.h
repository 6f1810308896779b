// What the data path cannot do, refused where a client first asks for it: the parsers take what
// Linux takes, and what is taken has to be enforced. doc/xfrm_protocol.md has the whole list.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "netlink/attribute.h"
#include "policy/policy.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {

// NEWSA, UPDSA.
Status RefuseSa(const xfrm_usersa_info& info, const netlink::AttributeTable& attributes);

// ALLOCSPI: an SPI is asked for where an SA is to follow.
Status RefuseSpi(uint8_t proto, const netlink::AttributeTable& attributes);

// NEWPOLICY, UPDPOLICY, and policies of sockets. A policy that blocks is taken whatever it selects
// by: it blocks every packet that its selector matches.
Status RefusePolicy(const PolicySpec& policy, const netlink::AttributeTable& attributes);

// MIGRATE.
Status RefuseMigrate(const netlink::AttributeTable& attributes);

}  // namespace cygnet::xfrm
