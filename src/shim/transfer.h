// Sending and receiving on a shimmed descriptor, and its addresses, as AF_NETLINK would.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include "shim/socket_table.h"

namespace cygnet::shim {

// As sendmsg() and recvmsg() of a netlink socket: result and errno.
ssize_t Send(XfrmSocket& socket, int fd, const msghdr& message, int flags);
ssize_t Receive(XfrmSocket& socket, int fd, msghdr& message, int flags);

// As bind(), connect(), getsockname() and getpeername() of a netlink socket.
int Bind(XfrmSocket& socket, int fd, const sockaddr* address, socklen_t length);
int Connect(XfrmSocket& socket, int fd, const sockaddr* address, socklen_t length);
int OwnAddress(const XfrmSocket& socket, sockaddr* address, socklen_t* length);
int PeerAddress(const XfrmSocket& socket, sockaddr* address, socklen_t* length);

// As the kernel copies an address out: truncated to the room there is, with its full length.
void StoreAddress(uint32_t port_id, uint32_t groups, void* address, socklen_t* length);

}  // namespace cygnet::shim
