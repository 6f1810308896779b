// Socket options of shimmed descriptors, and the two options of ordinary sockets that concern
// IPsec.
#pragma once

#include <sys/socket.h>

#include "shim/socket_table.h"

namespace cygnet::shim {

int SetOption(XfrmSocket& socket, int fd, int level, int name, const void* value, socklen_t length);
int GetOption(const XfrmSocket& socket, int fd, int level, int name, void* value,
              socklen_t* length);

// setsockopt() of a descriptor that is none of ours.
int SetOrdinaryOption(int fd, int level, int name, const void* value, socklen_t length);

// ioctl(SIOCETHTOOL) with `request` pointing to an ifreq, after the real call has succeeded: ports
// whose device offers ESP offload show the features to IKE daemons that probe for them.
void ShowOffloadFeatures(int fd, void* request);

// This program asks generic netlink first, where nobody shows it a port's features; refused there,
// it asks by ioctl().
bool IsEthtool();

}  // namespace cygnet::shim
