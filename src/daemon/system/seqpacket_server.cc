#include "daemon/system/seqpacket_server.h"

#include <sys/socket.h>

#include <cerrno>

namespace cygnet {

Sent SendDatagram(int fd, std::span<const uint8_t> datagram) {
  if (send(fd, datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
    return Sent::kYes;
  }
  switch (errno) {
    case EAGAIN:
    case EINTR:
    case ENOBUFS:
    case ENOMEM:
      return Sent::kLater;
    case EMSGSIZE:
      return Sent::kTooLong;
    default:
      return Sent::kBroken;
  }
}

}  // namespace cygnet
