// Socket options of shimmed descriptors, and the two options of ordinary sockets that concern
// IPsec.
#pragma once

#include <sys/socket.h>

#include "shim/socket_table.h"

namespace cygnet::shim {

int SetOption(XfrmSocket& socket, int fd, int level, int name, const void* value, socklen_t length);
int GetOption(const XfrmSocket& socket, int fd, int level, int name, void* value,
              socklen_t* length);

// setsockopt() of a descriptor that is not ours.
int SetOrdinaryOption(int fd, int level, int name, const void* value, socklen_t length);

// ioctl(SIOCETHTOOL) with `request` pointing to an ifreq, after the real call has succeeded. Adds
// the features of ports whose device offers ESP offload, for IKE daemons that probe for them.
void ShowOffloadFeatures(int fd, void* request);

// The program uses generic netlink first, where the shim cannot add features. If that is refused,
// it falls back to ioctl().
bool IsEthtool();

}  // namespace cygnet::shim
