// Sends and receives on a shimmed descriptor, and handles its addresses, like AF_NETLINK.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include "shim/socket_table.h"

namespace cygnet::shim {

// Like sendmsg() and recvmsg() of a netlink socket, with the same results and errno values.
ssize_t Send(XfrmSocket& socket, int fd, const msghdr& message, int flags);
ssize_t Receive(XfrmSocket& socket, int fd, msghdr& message, int flags);

// Like bind(), connect(), getsockname() and getpeername() of a netlink socket.
int Bind(XfrmSocket& socket, int fd, const sockaddr* address, socklen_t length);
int Connect(XfrmSocket& socket, int fd, const sockaddr* address, socklen_t length);
int OwnAddress(const XfrmSocket& socket, sockaddr* address, socklen_t* length);
int PeerAddress(const XfrmSocket& socket, sockaddr* address, socklen_t* length);

// Copies an address out like the kernel: truncated to the buffer, with its full length.
void StoreAddress(uint32_t port_id, uint32_t groups, void* address, socklen_t* length);

}  // namespace cygnet::shim
