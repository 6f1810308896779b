// The parts of an SA that answers and events share. Used inside this folder only.
#pragma once

#include "netlink/builder.h"
#include "sa/sa_view.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {

// REQUIRES of both: the structure is zero.
void FillSaInfo(const SaView& sa, xfrm_usersa_info& info);
void FillSaId(const SaSpec& spec, xfrm_usersa_id& id);
// All attributes of a NEWSA, in the order of copy_to_user_state_extra.
void PutSaAttributes(netlink::MessageBuilder& builder, const SaView& sa);
// XFRMA_REPLAY_VAL or XFRMA_REPLAY_ESN_VAL: exactly one of them, always.
void PutReplay(netlink::MessageBuilder& builder, const ReplayState& replay);
// XFRMA_SA_PCPU and XFRMA_SA_DIR, the tail that EXPIRE and NEWAE share with NEWSA.
void PutSaPlacement(netlink::MessageBuilder& builder, const SaSpec& spec);

}  // namespace cygnet::xfrm
