// A connection that its socket has closed and the next socket of this process takes: `ip -batch`
// opens a socket for each line, and to meet the daemon takes several times as long as a request.
//
// A connection is kept only if the next socket cannot tell it from a new one, and nobody else can
// use it: nothing but acknowledgements was received, nothing is unread, no group, option of
// SOL_SOCKET, copy, epoll set, thread or forked child has it. It is taken only by the process that
// kept it, in the same namespaces, under the same user, and with CAP_NET_ADMIN in effect. At most
// one is kept, under a number of its own.
#pragma once

#include "shim/socket_table.h"

namespace cygnet::shim {

// Of a new connection. Without a place, which needs /proc, it is never kept.
Origin OriginOf(int fd);

// The descriptor is about to be closed. Keeps its connection if the rules above allow it.
void KeepConnection(XfrmSocket& socket, int fd);

// A blocking descriptor, close-on-exec, with the lowest free number, and what is known of it; -1:
// none is kept, or it must not be taken.
int TakeConnection(ToldState* told, Origin* origin);

// In a forked child: the connection is the parent's.
void ForgetConnectionInChild();

}  // namespace cygnet::shim
