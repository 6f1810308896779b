// Requests on NETLINK_ROUTE sockets that concern tunnel interfaces: which they are, and how the
// daemon answers them.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>

namespace cygnet::shim {

enum class RequestFor {
  kKernel,
  kDaemon,  // RTM_NEWLINK of kind xfrm (or vti), RTM_DELLINK of a tunnel interface of Cygnet's
  kKernelUnkind,  // a list of the interfaces of kind xfrm: the kernel must not leave out TUN ones
};

// `bytes`: a whole message with its header. Asks the kernel for interfaces that are to be deleted.
RequestFor ReceiverOf(const uint8_t* bytes, size_t size);

// REQUIRES: ReceiverOf is kKernelUnkind. Changes the kind to one that no kernel has: it then lists
// all interfaces, and the program chooses, as on a kernel without XFRM interfaces.
void ListAllKinds(uint8_t* bytes, size_t size);

struct LinkAnswer {
  enum class From { kDaemon, kNobody } from = From::kNobody;
  int error = 0;  // 0 or an errno value
  char text[256] = {};
};

// Passes the message on to the daemon and waits until it is done.
LinkAnswer AskDaemon(const uint8_t* bytes, size_t size);

}  // namespace cygnet::shim
