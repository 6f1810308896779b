#include "control/host_sockets.h"

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/endian.h"
#include "base/errno_error.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

using Buffer = std::array<char, 32768>;

uint64_t CookieOf(const inet_diag_sockid& id) {
  return uint64_t{id.idiag_cookie[1]} << 32 | id.idiag_cookie[0];
}

bool IsV4Mapped(const IpAddress& a) {
  constexpr std::array<uint8_t, 12> kPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(a.bytes.data(), kPrefix.data(), kPrefix.size()) == 0;
}

IpAddress ReadAddress(const void* bytes, IpFamily family) {
  return family == IpFamily::kV4 ? IpAddress::V4(bytes) : IpAddress::V6(bytes);
}

// Only IPv6 sockets that are not connected have the attribute. If it is missing, the socket does
// not accept IPv4.
bool TakesBothFamilies(const nlmsghdr* message) {
  const auto* attr =
      static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, sizeof(inet_diag_msg)));
  const char* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  for (; mnl_attr_ok(attr, static_cast<int>(end - reinterpret_cast<const char*>(attr)));
       attr = mnl_attr_next(attr)) {
    if (mnl_attr_get_type(attr) == INET_DIAG_SKV6ONLY && mnl_attr_get_payload_len(attr) >= 1) {
      return mnl_attr_get_u8(attr) == 0;
    }
  }
  return false;
}

HostSocket SocketOf(const nlmsghdr* message, uint8_t proto) {
  const auto* info = static_cast<const inet_diag_msg*>(mnl_nlmsg_get_payload(message));
  HostSocket socket;
  socket.cookie = CookieOf(info->id);
  socket.uid = info->idiag_uid;
  SocketEnds& ends = socket.ends;
  ends.family = static_cast<IpFamily>(info->idiag_family);
  ends.proto = proto;
  ends.ifindex = static_cast<int32_t>(info->id.idiag_if);
  ends.local_port = be16::FromRaw(info->id.idiag_sport).value();
  ends.remote_port = be16::FromRaw(info->id.idiag_dport).value();
  ends.local = ReadAddress(info->id.idiag_src, ends.family);
  ends.remote = ReadAddress(info->id.idiag_dst, ends.family);
  if (ends.family != IpFamily::kV6) return socket;
  if (IsV4Mapped(ends.local)) {  // uses IPv4 only
    ends.family = IpFamily::kV4;
    ends.local = IpAddress::V4(ends.local.bytes.data() + 12);
    ends.remote =
        IsV4Mapped(ends.remote) ? IpAddress::V4(ends.remote.bytes.data() + 12) : IpAddress{};
  } else {
    ends.both_families = ends.local.IsAny() && ends.remote_port == 0 && TakesBothFamilies(message);
  }
  return socket;
}

bool HasBody(const nlmsghdr* message) {
  return message->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
         mnl_nlmsg_get_payload_len(message) >= sizeof(inet_diag_msg);
}

}  // namespace

void KernelSockets::Closer::operator()(mnl_socket* s) const { mnl_socket_close(s); }

KernelSockets::~KernelSockets() = default;

Result<std::unique_ptr<KernelSockets>> KernelSockets::Create() {
  std::unique_ptr<KernelSockets> sockets(new KernelSockets);
  sockets->requests_.reset(mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC));
  sockets->events_.reset(mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (sockets->requests_ == nullptr || sockets->events_ == nullptr ||
      mnl_socket_bind(sockets->requests_.get(), 0, MNL_SOCKET_AUTOPID) != 0 ||
      mnl_socket_bind(sockets->events_.get(), 0, MNL_SOCKET_AUTOPID) != 0) {
    return ErrnoError(Errc::kNotSupported, "open NETLINK_SOCK_DIAG");
  }
  // Also makes the kernel load the module that answers, if it is one.
  if (!sockets->List(IpFamily::kV4, kProtoUdp, 0) || !sockets->List(IpFamily::kV6, kProtoUdp, 0)) {
    return MakeError(Errc::kNotSupported, "the kernel does not list UDP sockets (INET_UDP_DIAG)");
  }
  (void)sockets->List(IpFamily::kV4, kProtoTcp, 1);
  for (const int group : {SKNLGRP_INET_UDP_DESTROY, SKNLGRP_INET6_UDP_DESTROY,
                          SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY}) {
    int number = group;
    if (mnl_socket_setsockopt(sockets->events_.get(), NETLINK_ADD_MEMBERSHIP, &number,
                              sizeof(number)) != 0) {
      return MakeError(Errc::kNotSupported, "the kernel does not report sockets that end");
    }
  }
  return sockets;
}

std::optional<std::vector<HostSocket>> HostSockets::ListBoth(uint8_t proto, uint16_t port) {
  auto both = List(IpFamily::kV4, proto, port);
  const auto others = both ? List(IpFamily::kV6, proto, port) : std::nullopt;
  if (!others) return std::nullopt;
  both->insert(both->end(), others->begin(), others->end());
  return both;
}

std::optional<std::vector<HostSocket>> KernelSockets::List(IpFamily family, uint8_t proto,
                                                           uint16_t port) {
  Buffer buffer;
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = sequence_++;
  auto* body =
      static_cast<inet_diag_req_v2*>(mnl_nlmsg_put_extra_header(request, sizeof(inet_diag_req_v2)));
  body->sdiag_family = static_cast<uint8_t>(family);
  body->sdiag_protocol = proto;
  body->idiag_states = ~uint32_t{0};
  body->id.idiag_sport = be16(port).raw();
  const uint32_t sequence = request->nlmsg_seq;
  if (mnl_socket_sendto(requests_.get(), request, request->nlmsg_len) < 0) return std::nullopt;
  std::vector<HostSocket> found;
  for (;;) {
    const ssize_t n = mnl_socket_recvfrom(requests_.get(), buffer.data(), buffer.size());
    if (n <= 0) return std::nullopt;
    int left = static_cast<int>(n);
    for (auto* m = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
      if (m->nlmsg_seq != sequence) continue;
      if (m->nlmsg_type == NLMSG_DONE) return found;
      if (m->nlmsg_type == NLMSG_ERROR) return std::nullopt;
      if (!HasBody(m)) continue;
      HostSocket socket = SocketOf(m, proto);
      if (socket.ends.local_port != 0) found.push_back(socket);
    }
  }
}

int KernelSockets::event_fd() const { return mnl_socket_get_fd(events_.get()); }

EndedSockets KernelSockets::DrainEnded() {
  Buffer buffer;
  EndedSockets ended;
  for (;;) {
    const ssize_t n = mnl_socket_recvfrom(events_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == ENOBUFS) {
      ended.lost = true;
      continue;
    }
    if (n <= 0) return ended;
    int left = static_cast<int>(n);
    for (auto* m = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
      if (!HasBody(m)) continue;
      const auto* info = static_cast<const inet_diag_msg*>(mnl_nlmsg_get_payload(m));
      ended.cookies.push_back(CookieOf(info->id));
    }
  }
}

}  // namespace cygnet
