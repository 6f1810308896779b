// What connection.cc and reconnect.cc share.
#pragma once

#include "netlink/rendezvous.h"
#include "shim/socket_table.h"

namespace cygnet::shim {

enum class ConnectMode {
  kWait,
  kTry,  // for a moment only; leaves O_NONBLOCK set
};

// A connection to the daemon (close-on-exec), or why there is none.
rendezvous::Meeting ConnectToDaemon(ConnectMode mode);

// What every new connection starts with: the options and the binding the socket has.
bool SendState(const XfrmSocket& socket, int fd);

}  // namespace cygnet::shim
