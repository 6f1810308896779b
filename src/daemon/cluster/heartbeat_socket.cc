#include "daemon/cluster/heartbeat_socket.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <cstddef>
#include <cstring>

#include "base/errno_error.h"
#include "daemon/config/config_cluster.h"
#include "net/address.h"

namespace cygnet {

std::optional<SocketAddress> ParseSocketAddress(std::string_view text) {
  const auto parsed = ParseUdpEndpoint(text);
  if (!parsed || IsMulticastOrBroadcast(parsed->address, parsed->family)) return std::nullopt;
  SocketAddress address;
  if (parsed->family == IpFamily::kV4) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(parsed->port);
    std::memcpy(&in.sin_addr, parsed->address.bytes.data(), 4);
    std::memcpy(&address.bytes, &in, sizeof(in));
    address.size = sizeof(in);
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(parsed->port);
    std::memcpy(&in.sin6_addr, parsed->address.bytes.data(), 16);
    std::memcpy(&address.bytes, &in, sizeof(in));
    address.size = sizeof(in);
  }
  return address;
}

std::string InterfaceOf(const SocketAddress& address) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return {};
  const bool v4 = address.bytes.ss_family == AF_INET;
  const std::size_t offset =
      v4 ? offsetof(sockaddr_in, sin_addr) : offsetof(sockaddr_in6, sin6_addr);
  const auto* wanted = reinterpret_cast<const char*>(&address.bytes) + offset;
  std::string name;
  for (const ifaddrs* one = all; one != nullptr && name.empty(); one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != address.bytes.ss_family) continue;
    const auto* there = reinterpret_cast<const char*>(one->ifa_addr) + offset;
    if (std::memcmp(there, wanted, v4 ? 4 : 16) == 0) name = one->ifa_name;
  }
  freeifaddrs(all);
  return name;
}

Result<HeartbeatSocket> HeartbeatSocket::Open(const std::string& address) {
  const auto parsed = ParseSocketAddress(address);
  if (!parsed.has_value()) {
    return MakeError(Errc::kInvalid, "heartbeat = \"" + address +
                                         "\": not ADDRESS:PORT, as in \"192.0.2.11:4511\"");
  }
  UniqueFd fd(socket(parsed->bytes.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoError("open the socket of heartbeats");
  const int on = 1;
  const bool v4 = parsed->bytes.ss_family == AF_INET;
  (void)setsockopt(fd.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_FREEBIND : IPV6_FREEBIND, &on,
                   sizeof(on));
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&parsed->bytes), parsed->size) != 0) {
    return ErrnoError("bind heartbeats to " + address);
  }
  return HeartbeatSocket(std::move(fd));
}

void HeartbeatSocket::Send(const SocketAddress& to, std::span<const uint8_t> datagram) {
  (void)sendto(fd_.get(), datagram.data(), datagram.size(), 0,
               reinterpret_cast<const sockaddr*>(&to.bytes), to.size);
}

std::span<const uint8_t> HeartbeatSocket::Receive() {
  for (;;) {
    from_.size = sizeof(from_.bytes);
    const ssize_t n = recvfrom(fd_.get(), buffer_.data(), buffer_.size(), 0,
                               reinterpret_cast<sockaddr*>(&from_.bytes), &from_.size);
    if (n > 0) return {buffer_.data(), static_cast<std::size_t>(n)};
    // An empty datagram, or an error that an earlier one caused: the next may be there.
    if (n < 0 && errno != EINTR && errno != ECONNREFUSED) return {};
  }
}

std::string HeartbeatSocket::from() const {
  if (from_.bytes.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &from_.bytes, sizeof(in));
    return ToString(IpAddress::V4(&in.sin_addr), IpFamily::kV4);
  }
  sockaddr_in6 in{};
  std::memcpy(&in, &from_.bytes, sizeof(in));
  return ToString(IpAddress::V6(&in.sin6_addr), IpFamily::kV6);
}

}  // namespace cygnet
