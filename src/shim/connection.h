// The connection to cygnetd under a shimmed descriptor, and its replacement if the daemon ends.
//
// A netlink socket never ends, so a dead connection is replaced immediately on the same descriptor
// number: by a new connection or, while there is no daemon, by a placeholder. The placeholder is a
// timer that polls readable a few times a second: an event loop wakes up and receives, and the
// receive looks for the daemon. A call on the descriptor or on any other shimmed socket that finds
// a daemon replaces the placeholder.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shim/socket_table.h"

namespace cygnet::shim {

// Returns a socket for the client, or -1 with ECONNREFUSED and a line on stderr. `type`: as for
// socket().
int OpenXfrmSocket(int type);

enum class Loss {
  kClosed,  // end of file; the daemon had read all we sent
  kReset,   // the daemon ended before it had read all we sent
  kIdle,    // nothing happened: try to replace a placeholder
};
enum class Caller { kSend, kReceive };

// Replaces the connection of that generation, unless another thread already did. True: a daemon is
// at the other end.
bool Recover(XfrmSocket& socket, uint32_t generation, Loss loss, Caller caller);

// Binds to a port id of our choice if the client has not bound, and announces it to the daemon.
void EnsureBound(XfrmSocket& socket, int fd);
// Sends port id and groups to the daemon. No result: each replacement of a lost connection starts
// with this message.
void Announce(XfrmSocket& socket, int fd);
// Sends the options that the daemon knows otherwise.
void AnnounceOptions(XfrmSocket& socket, int fd);
// Tells the daemon that the client receives into so many bytes, if it has not heard of as many: it
// makes the datagrams of a dump that long.
void AnnounceRoom(XfrmSocket& socket, int fd, size_t bytes);

// Lock-step: returns when the daemon has consumed all that was sent. False: it ended before.
bool WaitConsumed(int fd);

// Stops a placeholder from polling readable until its next tick.
inline constexpr int kRetryIntervalMs = 200;
void WindPlaceholder(int fd);

int64_t MonotonicNs();

}  // namespace cygnet::shim
