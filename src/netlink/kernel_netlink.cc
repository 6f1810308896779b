#include "netlink/kernel_netlink.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/errno_error.h"
#include "netlink/message.h"

namespace cygnet {
namespace {

constexpr std::size_t kDatagram = 64 * 1024;  // the kernel sends at most 32 KiB of a dump at a time

}  // namespace

int ErrorOf(std::span<const uint8_t> message) {
  nlmsghdr header{};
  int error = 0;
  if (message.size() < sizeof(header) + sizeof(error)) return 0;
  std::memcpy(&header, message.data(), sizeof(header));
  if (header.nlmsg_type != NLMSG_ERROR) return 0;
  std::memcpy(&error, message.data() + sizeof(header), sizeof(error));
  return -error;
}

Result<KernelNetlink> KernelNetlink::Open(int protocol, std::initializer_list<uint32_t> groups) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (!fd.valid() ||
      bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoError("open netlink");
  }
  for (const uint32_t group : groups) {
    if (setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
      return ErrnoError("listen to netlink");
    }
  }
  return KernelNetlink(std::move(fd));
}

Result<std::vector<netlink::Buffer>> KernelNetlink::Ask(std::span<const uint8_t> datagram) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (sendto(fd_.get(), datagram.data(), datagram.size(), 0,
             reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel)) < 0) {
    return ErrnoError("netlink");
  }
  std::vector<netlink::Buffer> answers;
  std::array<uint8_t, kDatagram> buffer;  // not cleared: the fence asks each second
  for (;;) {
    const ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return answers;
    if (n < 0) return ErrnoError("netlink");
    std::span<const uint8_t> rest(buffer.data(), static_cast<std::size_t>(n));
    while (const auto message = netlink::NextMessage(rest)) {
      answers.emplace_back(message->bytes.begin(), message->bytes.end());
    }
  }
}

Status KernelNetlink::Send(std::span<const uint8_t> datagram, const char* what) {
  const auto answers = Ask(datagram);
  if (!answers) return answers.error();
  bool answered = false;
  for (const netlink::Buffer& answer : *answers) {
    answered = true;
    if (const int error = ErrorOf(answer); error != 0) {
      return ErrnoError(what, error);
    }
  }
  if (!answered) return MakeError(Errc::kIo, std::string(what) + ": the kernel did not answer");
  return {};
}

bool KernelNetlink::Drain() {
  std::array<uint8_t, 4096> buffer;
  bool any = false;
  for (;;) {
    const ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), MSG_TRUNC);
    // ENOBUFS: events were lost, so something happened.
    if (n >= 0 || errno == EINTR || errno == ENOBUFS) {
      any = true;
      continue;
    }
    return any;
  }
}

}  // namespace cygnet
