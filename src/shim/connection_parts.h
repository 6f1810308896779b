// Shared by connection.cc and reconnect.cc.
#pragma once

#include "netlink/rendezvous.h"
#include "shim/socket_table.h"

namespace cygnet::shim {

enum class ConnectMode {
  kWait,
  kTry,  // wait only briefly; leaves O_NONBLOCK set
};

// A connection to the daemon (close-on-exec), or the reason for its absence.
rendezvous::Meeting ConnectToDaemon(ConnectMode mode);

// Sent first on every new connection: the socket's options and binding.
bool SendState(XfrmSocket& socket, int fd);

}  // namespace cygnet::shim
