#include "xfrm/kernel/holdings.h"

#include <linux/xfrm.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>

#include "base/errno_error.h"
#include "netlink/buffer.h"
#include "netlink/message.h"

namespace cygnet::xfrm {
namespace {

// The number of `answer` messages in a dump of `type`. After an early stop the caller closes the
// socket, which ends the dump.
Result<uint32_t> CountDump(uint16_t type, uint16_t answer) {
  auto fd = OpenKernelXfrm(0, 0);
  if (!fd) return fd.error();
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  setsockopt(fd->get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  nlmsghdr request{};
  request.nlmsg_len = sizeof(request);
  request.nlmsg_type = type;
  request.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  if (send(fd->get(), &request, sizeof(request), 0) < 0) {
    return ErrnoError("the kernel's XFRM");
  }
  uint32_t count = 0;
  // Dumps of SAs contain keys. They belong to another program but are secret.
  netlink::Buffer buffer(std::size_t{64} << 10);
  while (count < KernelHoldings::kMost) {
    const ssize_t got = recv(fd->get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) return MakeError(Errc::kIo, "the kernel's XFRM does not answer");
    std::span<const uint8_t> rest(buffer.data(), static_cast<std::size_t>(got));
    while (const auto message = netlink::NextMessage(rest)) {
      if (message->header.nlmsg_type == NLMSG_DONE) return count;
      if (message->header.nlmsg_type == NLMSG_ERROR) {
        return MakeError(Errc::kIo, "the kernel refuses to list its XFRM");
      }
      if (message->header.nlmsg_type == answer) ++count;
    }
  }
  return KernelHoldings::kMost;
}

}  // namespace

Result<UniqueFd> OpenKernelXfrm(uint32_t groups, int flags) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_XFRM));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (fd.valid() &&
      bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return fd;
  }
  const int error = errno;
  const bool none = error == EPROTONOSUPPORT || error == EAFNOSUPPORT;
  return ErrnoError(none ? Errc::kNotSupported : Errc::kIo, "the kernel's XFRM", error);
}

Result<KernelHoldings> LookAtKernel() {
  const auto sas = CountDump(XFRM_MSG_GETSA, XFRM_MSG_NEWSA);
  if (!sas) return sas.error();
  const auto policies = CountDump(XFRM_MSG_GETPOLICY, XFRM_MSG_NEWPOLICY);
  if (!policies) return policies.error();
  return KernelHoldings{.sas = *sas, .policies = *policies};
}

}  // namespace cygnet::xfrm
