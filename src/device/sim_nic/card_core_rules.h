// Rules of the kernel's core that precede those of a driver (xfrm_dev_state_add).
#pragma once

#include "device/sim_nic/card_profile.h"

namespace cygnet {

// Of drivers without an xdo_dev_state_advance_esn.
inline constexpr CardRule kCoreRefusesEsn = {.scope = CardScope::kSaCrypto,
                                             .test = CardTest::kEsn,
                                             .voice = CardVoice::kCore,
                                             .text = "Device doesn't support offload with ESN",
                                             .line = 8};

}  // namespace cygnet
