// The second half of taking in a NEWSA: algorithms are looked up, and what this stack cannot do is
// refused, in the order and with the texts of xfrm_state_construct and xfrm_init_state.
#pragma once

#include "base/result.h"
#include "netlink/attribute.h"
#include "sa/sa_spec.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {

// Fills spec.aead, spec.auth and spec.cipher from the XFRMA_ALG_* attributes. Unknown names and
// ICV lengths are ENOSYS. REQUIRES: VerifySa passed.
Status AttachAlgorithms(const netlink::AttributeTable& attributes, SaSpec& spec);

// Mode, protocol, key lengths, encapsulation, keepalive, replay window. `wire_mode` is the
// message's mode, which may be one that SaMode does not have.
Status CheckInit(const SaSpec& spec, uint8_t wire_mode);

// XFRMA_OFFLOAD_DEV of an SA (xfrm_dev_state_add, as far as it looks at the request alone). Whether
// a device takes the SA is the control plane's to find out.
Result<OffloadRequest> DecodeOffload(const xfrm_user_offload& offload, const SaSpec& spec);

}  // namespace cygnet::xfrm
