// Parts of an SA for answers and events. Used inside this folder only.
#pragma once

#include "netlink/builder.h"
#include "sa/sa_view.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {

// REQUIRES for both: the structure is zero.
void FillSaInfo(const SaView& sa, xfrm_usersa_info& info);
void FillSaId(const SaSpec& spec, xfrm_usersa_id& id);
// All attributes of a NEWSA, in the order of copy_to_user_state_extra.
void PutSaAttributes(netlink::MessageBuilder& builder, const SaView& sa);
// Always exactly one of XFRMA_REPLAY_VAL and XFRMA_REPLAY_ESN_VAL.
void PutReplay(netlink::MessageBuilder& builder, const ReplayState& replay);
// XFRMA_OFFLOAD_DEV of an SA or a policy; mode kNo: none. INBOUND and PACKET are set for both, as
// in the kernel (copy_user_offload); IPV6 is never echoed.
void PutOffload(netlink::MessageBuilder& builder, const OffloadRequest& offload);
// XFRMA_MARK, XFRMA_SET_MARK and its mask, as far as the SA has them.
void PutSaMarks(netlink::MessageBuilder& builder, const SaSpec& spec);
// XFRMA_MARK, XFRMA_IF_ID and XFRMA_SA_DIR: the last attributes of EXPIRE and NEWAE.
void PutSaSelection(netlink::MessageBuilder& builder, const SaSpec& spec);

}  // namespace cygnet::xfrm
