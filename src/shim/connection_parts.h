// What connection.cc and reconnect.cc share.
#pragma once

#include "shim/socket_table.h"

namespace cygnet::shim {

enum class ConnectMode {
  kWait,  // for room in the daemon's queue of connections
  kTry,   // never blocks; leaves O_NONBLOCK set
};

// A connection to the daemon (close-on-exec), or -1 and errno.
int ConnectToDaemon(ConnectMode mode);

// What every new connection starts with: the options and the binding the socket has.
bool SendState(const XfrmSocket& socket, int fd);

}  // namespace cygnet::shim
