// The connection to cygnetd under a shimmed descriptor, and its replacement when the daemon goes.
//
// A netlink socket never ends, so a dead connection is replaced at once on the same descriptor
// number: by a new connection, or, while there is no daemon, by a placeholder. That is a timer,
// which polls readable a few times a second: an event loop wakes, receives, and by that looks for
// the daemon. It goes when a call on it, or on any other socket of the process, finds one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shim/socket_table.h"

namespace cygnet::shim {

// A socket for the client, or -1 with ECONNREFUSED and a line on stderr. `type` as for socket().
int OpenXfrmSocket(int type);

enum class Loss {
  kClosed,  // end of file: what we sent had been read
  kReset,   // the daemon went before it had read all we sent
  kIdle,    // nothing new: see whether a placeholder can be replaced
};
enum class Caller { kSend, kReceive };

// Replaces the connection of that generation, unless another thread already has. True if there is
// a daemon at the other end now.
bool Recover(XfrmSocket& socket, uint32_t generation, Loss loss, Caller caller);

// Binds to a port id of our choice if the client has not, and sees to it that the daemon knows.
void EnsureBound(XfrmSocket& socket, int fd);
// Tells the daemon port id and groups. No result: a lost connection is replaced, and every new one
// starts with this.
void Announce(XfrmSocket& socket, int fd);
void AnnounceOption(XfrmSocket& socket, int fd, int option, int value);

// Lock-step: returns when the daemon has consumed all that was sent. False if it went without.
bool WaitConsumed(int fd);

// A placeholder stops polling readable until its next tick.
inline constexpr int kRetryIntervalMs = 200;
void WindPlaceholder(int fd);

int64_t MonotonicNs();

}  // namespace cygnet::shim
