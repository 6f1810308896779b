#include "daemon/instance.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <string_view>

namespace cygnet {

// An abstract name is the namespace's, and goes with the process that bound it.
Result<UniqueFd> ClaimInstance() {
  constexpr std::string_view kName = "cygnet/instance";
  UniqueFd instance(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, kName.data(), kName.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + kName.size());
  if (bind(instance.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    return MakeError(Errc::kBusy, "a cygnetd already runs in this network namespace");
  }
  return instance;
}

}  // namespace cygnet
