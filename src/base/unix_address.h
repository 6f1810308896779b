// UnixAddress: where a socket of AF_UNIX is: a path, or an abstract name, which begins with NUL.
// The preload shim has it too: no C++ run time.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

namespace cygnet {

class UnixAddress {
 public:
  // The result is not valid() if the name is empty or too long.
  UnixAddress(const char* name, std::size_t size) {
    if (size == 0 || size > sizeof address_.sun_path) return;
    memcpy(address_.sun_path, name, size);
    length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size);
  }

  bool valid() const { return length_ != 0; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t length() const { return length_; }
  // For an abstract name: whether `other`, which the kernel returned, is this address.
  bool Is(const sockaddr_un& other, socklen_t length) const {
    return length == length_ && memcmp(&other, &address_, length) == 0;
  }

 private:
  sockaddr_un address_{.sun_family = AF_UNIX, .sun_path = {}};
  socklen_t length_ = 0;
};

}  // namespace cygnet
