// The second half of decoding a NEWSA: looks up algorithms and refuses what this stack cannot do,
// in the order and with the texts of xfrm_state_construct and xfrm_init_state.
#pragma once

#include "base/result.h"
#include "netlink/attribute.h"
#include "sa/sa_spec.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {

// Fills spec.aead and spec.pair from the XFRMA_ALG_* attributes. Unknown names and
// ICV lengths are ENOSYS. REQUIRES: VerifySa passed.
Status AttachAlgorithms(const netlink::AttributeTable& attributes, SaSpec& spec);

// Mode, protocol, key lengths, encapsulation, keepalive, replay window. `wire_mode`: the mode in
// the message, which may be a value that SaMode does not have.
Status CheckInit(const SaSpec& spec, uint8_t wire_mode);

// XFRMA_OFFLOAD_DEV of an SA (the checks of xfrm_dev_state_add that need only the request). The
// control plane decides whether a device accepts the SA.
Result<OffloadRequest> DecodeOffload(const xfrm_user_offload& offload, const SaSpec& spec);

}  // namespace cygnet::xfrm
