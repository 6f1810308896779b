// How a client and cygnetd find each other and prove, each to the other, that they hold
// CAP_NET_ADMIN in the user namespace that owns the network namespace (decision 0014).
//
// Both proofs are the kernel's, made when something is sent: it delivers a NETLINK_ROUTE message
// from one process to another only if the sender holds the capability at that moment, and it lets
// nobody without it into a multicast group of NETLINK_USERSOCK. Nothing here is judged by a later
// look at a process, and nothing is a name that others could take first.
//
//   cygnetd  joins kGroups on NETLINK_USERSOCK with port id P, which NETLINK_SOCK_DIAG and
//            /proc/…/net/netlink show to all, and receives on NETLINK_ROUTE at the same port id P.
//   client   makes a Unix listener with a random abstract name X and sends Knock{X, nonce} to P.
//   cygnetd  binds a Unix socket to a random abstract name Y, connects it to X, and sends
//            Answer{nonce, Y} to the client's port id.
//   client   takes the connection that comes from Y, and sends Confirm{Y} to P.
//   cygnetd  serves the connection from Y.
//
// Y is held by cygnetd's end for as long as it lives, so neither side can be made to take another's
// connection for the one it talks about. cygnetd listens on no Unix socket: a process without the
// capability has nothing to connect to.
//
// This part is compiled into the preload shim as well: no C++ run time, and raw system calls, since
// the shim interposes those of the C library.
#pragma once

#include <linux/netlink.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "base/unix_address.h"

namespace cygnet::rendezvous {

// What a connection is for.
enum class Service : uint32_t {
  kXfrm = 1,      // netlink/unix_transport.h
  kOperator = 2,  // daemon/operator_server.h
};

// The multicast groups of NETLINK_USERSOCK that mark a cygnetd; no other program takes so many.
inline constexpr uint32_t kGroups = 0xc79ce7a6;

inline constexpr uint32_t kVersion = 1;
inline constexpr char kNamePrefix[] = "cygnet/";
inline constexpr size_t kNameBytes = sizeof kNamePrefix - 1 + 32;  // and 32 random hex digits

// An abstract socket name without its leading NUL.
struct SocketName {
  char text[kNameBytes];
};

struct Nonce {
  uint64_t words[2];
};

// Types below NLMSG_MIN_TYPE: a kernel that got one by mistake would skip it.
enum class MessageType : uint16_t { kKnock = 8, kAnswer = 9, kConfirm = 10 };

struct Message {
  nlmsghdr header;
  uint32_t version;
  Service service;
  Nonce nonce;
  int32_t error;  // in an answer: 0, or why there is no connection
  SocketName name;
  uint8_t padding[5];
};
static_assert(sizeof(Message) == 16 + 8 + 16 + 4 + kNameBytes + 5);

enum class Outcome {
  kMet,
  kNobody,        // no cygnetd in this network namespace
  kNotPermitted,  // this process lacks CAP_NET_ADMIN
  kNoAnswer,      // there is a cygnetd; it did not answer in time
  kNoTable,       // the kernel's netlink sockets cannot be listed
  kFailed,        // a system call failed, here or in cygnetd
};

struct Meeting {
  Outcome outcome;
  int fd;     // ≥ 0 with kMet: blocking, close-on-exec
  int error;  // errno, where it says more
};

// A connection to the cygnetd of this network namespace, whose capability and ours have been
// proven. Waits for `timeout_ms` at most.
Meeting Meet(Service service, int timeout_ms);

// For people; what is behind Meeting::error is not in it.
const char* Explain(Outcome outcome);

// --- For both sides ---

// False: no random numbers.
bool MakeName(SocketName* name);
UnixAddress AddressOf(const SocketName& name);
Message MakeMessage(MessageType type, Service service);
// `size`: as received. False: not one of these messages, or of another version.
bool IsMessage(const Message& message, size_t size, MessageType type);

// The port ids of those that have joined kGroups in this thread's network namespace, at most
// `room`; -1 and errno if the kernel does not tell (ETIMEDOUT: not in that time).
int FindPorts(uint32_t* ports, int room, int timeout_ms);

}  // namespace cygnet::rendezvous
