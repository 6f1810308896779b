// The verify phase of NEWSA and UPDSA: checks that the message is consistent, before the lookup of
// algorithms. Order and texts are those of the kernel (verify_newsa_info); clients show the texts.
#pragma once

#include "base/result.h"
#include "netlink/attribute.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {

Status VerifySa(const xfrm_usersa_info& info, const netlink::AttributeTable& attributes);

}  // namespace cygnet::xfrm
