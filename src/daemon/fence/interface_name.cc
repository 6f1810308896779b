#include "daemon/fence/interface_name.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <string_view>

#include "base/unique_fd.h"

namespace cygnet {

std::string OwnNameOf(const std::string& name) {
  char own[IF_NAMESIZE] = {};
  const unsigned ifindex = if_nametoindex(name.c_str());
  return ifindex != 0 && if_indextoname(ifindex, own) != nullptr ? own : name;
}

bool IsLoopback(const std::string& name) {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  name.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  const bool known = fd.valid() && ioctl(fd.get(), SIOCGIFFLAGS, &request) == 0;
  return known ? (request.ifr_flags & IFF_LOOPBACK) != 0 : name == "lo";
}

Status CheckInterfaceName(const std::string& name) {
  if (IsLoopback(name)) {
    return MakeError(Errc::kInvalid,
                     name + " is the loopback interface, which only the host itself can use");
  }
  const std::string own = OwnNameOf(name);
  if (own == name) return {};
  return MakeError(Errc::kInvalid, name + " is another name of " + own + ": write " + own);
}

}  // namespace cygnet
