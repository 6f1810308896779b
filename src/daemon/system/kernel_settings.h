// XFRM settings that the kernel keeps for each network namespace under /proc/sys/net/core. Clients
// read and write them there, and the daemon obeys them as the kernel's own XFRM would.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "control/control_plane.h"

namespace cygnet {

// The number in a file; `fallback` if it cannot be read.
uint32_t ReadSetting(const std::string& file, uint32_t fallback);

// xfrm_acq_expires, in seconds; 30 if it cannot be read. IKE daemons change it at start.
uint32_t ReadAcquireExpires();

// Whether the kernel runs in FIPS mode; without the file it does not. Anything but a number in it
// is an error, so that an unreadable setting never turns FIPS mode off.
Result<bool> ReadKernelFips(const std::string& file = "/proc/sys/crypto/fips_enabled");

// xfrm_aevent_rseqth, xfrm_aevent_etime and xfrm_larval_drop; the kernel's defaults for those that
// cannot be read.
XfrmSettings ReadXfrmSettings();
XfrmSettings ReadXfrmSettingsIn(const std::string& folder);

}  // namespace cygnet
