// Settings of XFRM that the kernel keeps for each network namespace under /proc/sys/net/core, and
// that clients read and write there: the daemon goes by them as the kernel's own XFRM would.
#pragma once

#include <cstdint>
#include <string>

#include "control/control_plane.h"

namespace cygnet {

// The number in a file; `fallback` if there is none.
uint32_t ReadSetting(const std::string& file, uint32_t fallback);

// xfrm_acq_expires, in seconds; 30 if it cannot be read. IKE daemons change it at start.
uint32_t ReadAcquireExpires();

// xfrm_aevent_rseqth, xfrm_aevent_etime and xfrm_larval_drop; the kernel's defaults for those that
// cannot be read.
XfrmSettings ReadXfrmSettings();
XfrmSettings ReadXfrmSettingsIn(const std::string& folder);

}  // namespace cygnet
