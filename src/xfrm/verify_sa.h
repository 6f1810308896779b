// The verify phase of NEWSA and UPDSA: whether the message makes sense, before any algorithm is
// looked up. The order and the texts are the kernel's (verify_newsa_info); clients show the texts.
#pragma once

#include "base/result.h"
#include "netlink/attribute.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {

Status VerifySa(const xfrm_usersa_info& info, const netlink::AttributeTable& attributes);

}  // namespace cygnet::xfrm
