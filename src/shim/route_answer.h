// What programs read from NETLINK_ROUTE sockets. Tunnel interfaces of Cygnet are TUN interfaces to
// the kernel; programs see interfaces of kind xfrm. Messages keep their size, so that sizes that a
// program asked for before stay true.
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstddef>
#include <cstdint>

namespace cygnet::shim {

// A refusal reaches the program's own socket as the kernel's answer to a request that the kernel
// refuses whatever it is: RTM_GETLINK that names no interface. The answer repeats the request, from
// which ShowAnswers makes the refusal of the program's own request.
struct Refusal {
  nlmsghdr header;
  ifinfomsg link;  // zeros
  nlattr attribute;
  nlmsghdr refused;  // the header of the program's request
  char text[256];    // ends with NUL; what is behind it is not sent
};

// REQUIRES: 0 < error < 4096.
Refusal MakeRefusal(const nlmsghdr& refused, int error, const char* text);

enum class AnswerForm : uint8_t { kPlain, kExtended };  // kExtended: NETLINK_EXT_ACK is set

// Changes the messages in `bytes`, which may end within a message.
void ShowAnswers(uint8_t* bytes, size_t size, AnswerForm form);

}  // namespace cygnet::shim
