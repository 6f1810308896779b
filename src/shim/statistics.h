// The statistics of the card that a port's device plays, as ethtool asks for them: by ioctl(), the
// number (ETHTOOL_GSSET_INFO), the names (ETHTOOL_GSTRINGS) and the values (ETHTOOL_GSTATS). They
// follow those that the interface has itself; a TAP has none.
#pragma once

#include <cstdint>

namespace cygnet::shim {

// ioctl(SIOCETHTOOL) with `request` pointing to an ifreq. False: it is not about the statistics of
// a port, or cygnetd does not answer; nothing has happened, and the kernel's answer is the right
// one.
bool AnswerStatistics(int fd, void* request, int* result);

// How many statistics a port with this ifindex has.
uint32_t CountStatistics(int ifindex);

}  // namespace cygnet::shim
