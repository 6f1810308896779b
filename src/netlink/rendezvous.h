// How a client and cygnetd find each other, and prove to each other that they hold CAP_NET_ADMIN in
// the user namespace that owns the network namespace (decision 0014).
//
// The kernel provides both proofs at the time of the operation: it delivers a NETLINK_ROUTE message
// from one process to another only if the sender holds the capability at that moment, and it admits
// only processes with the capability to a multicast group of NETLINK_USERSOCK. Nothing here depends
// on a later check of a process, or on a name that others could take first.
//
//   cygnetd  joins kGroups on NETLINK_USERSOCK with port id P, which NETLINK_SOCK_DIAG and
//            /proc/…/net/netlink show to everybody, and receives on NETLINK_ROUTE at the same port
//            id P.
//   client   makes a Unix listener with a random abstract name X and sends Knock{X, nonce} to P.
//   cygnetd  binds a Unix socket to a random abstract name Y, connects it to X, and sends
//            Answer{nonce, Y} to the client's port id.
//   client   takes the connection that comes from Y, and sends Confirm{Y} to P.
//   cygnetd  serves the connection from Y.
//
// cygnetd's end keeps the name Y while it exists, so neither side can mistake a stranger's
// connection for the negotiated one. cygnetd does not listen on a Unix socket: a process without
// the capability has nothing to connect to.
//
// This code is also compiled into the preload shim: it uses no C++ run time, and raw system calls,
// since the shim interposes those of the C library.
#pragma once

#include <linux/netlink.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "base/unix_address.h"

namespace cygnet::rendezvous {

// The purpose of a connection.
enum class Service : uint32_t {
  kXfrm = 1,      // netlink/unix_transport.h
  kOperator = 2,  // daemon/operator/operator_server.h
};

// The multicast groups of NETLINK_USERSOCK that mark a cygnetd; no other program joins this many.
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
  int32_t error;  // in an answer: 0, or why the connection failed
  SocketName name;
  uint8_t padding[5];
};
static_assert(sizeof(Message) == 16 + 8 + 16 + 4 + kNameBytes + 5);

enum class Outcome {
  kMet,
  kNobody,        // no cygnetd in this network namespace
  kNotPermitted,  // this process lacks CAP_NET_ADMIN
  kNoAnswer,      // a cygnetd exists but did not answer in time
  kNoTable,       // the kernel's netlink sockets cannot be listed
  kFailed,        // a system call failed, here or in cygnetd
};

struct Meeting {
  Outcome outcome;
  int fd;     // ≥ 0 with kMet: blocking, close-on-exec
  int error;  // errno if it adds information
};

// A connection to the cygnetd of this network namespace, after both sides have proven their
// capability. Waits for at most `timeout_ms`.
Meeting Meet(Service service, int timeout_ms);

// A text for people, without the text of Meeting::error.
const char* Explain(Outcome outcome);

// --- For both sides ---

// False: random numbers are not available.
bool MakeName(SocketName* name);
UnixAddress AddressOf(const SocketName& name);
Message MakeMessage(MessageType type, Service service);
// `size`: as received. False: not one of these messages, or another version.
bool IsMessage(const Message& message, size_t size, MessageType type);

// The port ids of at most `room` sockets that have joined kGroups in this thread's network
// namespace. -1 and errno if the kernel does not report them (ETIMEDOUT: not in time).
int FindPorts(uint32_t* ports, int room, int timeout_ms);

}  // namespace cygnet::rendezvous
