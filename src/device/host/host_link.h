// NamedInterface: ioctl() calls about one network interface of the host, by its name.
#pragma once

#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet {

class NamedInterface {
 public:
  // REQUIRES: name.size() < IFNAMSIZ.
  explicit NamedInterface(const std::string& name)
      : name_(name), socket_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}

  // A request with the interface's name and otherwise empty.
  ifreq Request() const {
    ifreq request{};
    std::memcpy(request.ifr_name, name_.data(), name_.size());
    return request;
  }
  // False: errno has the cause, here and below.
  bool Call(unsigned long code, ifreq* request) const {
    return ioctl(socket_.get(), code, request) == 0;
  }
  template <typename Command>
  bool Ethtool(Command* command) const {
    ifreq request = Request();
    request.ifr_data = reinterpret_cast<char*>(command);
    return Call(SIOCETHTOOL, &request);
  }
  bool BringUp() const {
    ifreq request = Request();
    if (!Call(SIOCGIFFLAGS, &request)) return false;
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    return Call(SIOCSIFFLAGS, &request);
  }

 private:
  const std::string name_;
  const UniqueFd socket_;
};

}  // namespace cygnet
