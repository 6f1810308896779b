// Messages of NETLINK_ROUTE: for HostNetwork's own files.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "net/address.h"

namespace cygnet::route_messages {

using Buffer = std::array<char, 16384>;

inline uint8_t AddressFamily(IpFamily family) { return static_cast<uint8_t>(family); }

inline IpAddress ReadAddress(const nlattr* attr, IpFamily family) {
  const std::size_t want = AddressBits(family) / 8;
  if (mnl_attr_get_payload_len(attr) < want) return {};
  return family == IpFamily::kV4 ? IpAddress::V4(mnl_attr_get_payload(attr))
                                 : IpAddress::V6(mnl_attr_get_payload(attr));
}

// 0: it is too short.
inline uint16_t ReadNumber16(const nlattr* attr) {
  return mnl_attr_get_payload_len(attr) < sizeof(uint16_t) ? uint16_t{0} : mnl_attr_get_u16(attr);
}

inline void PutAddress(nlmsghdr* message, uint16_t type, const IpAddress& address,
                       IpFamily family) {
  mnl_attr_put(message, type, AddressBits(family) / 8, address.bytes.data());
}

// Calls fn(attribute) for each attribute behind the fixed header of `message`.
template <typename Fn>
void ForEachAttr(const nlmsghdr* message, std::size_t fixed, Fn fn) {
  const auto* attr = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, fixed));
  const char* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  while (mnl_attr_ok(attr, static_cast<int>(end - reinterpret_cast<const char*>(attr)))) {
    fn(attr);
    attr = mnl_attr_next(attr);
  }
}

// Calls fn(attribute) for each attribute inside `nest`.
template <typename Fn>
void ForEachNested(const nlattr* nest, Fn fn) {
  const auto* attr = static_cast<const nlattr*>(mnl_attr_get_payload(nest));
  const char* end = reinterpret_cast<const char*>(attr) + mnl_attr_get_payload_len(nest);
  while (mnl_attr_ok(attr, static_cast<int>(end - reinterpret_cast<const char*>(attr)))) {
    fn(attr);
    attr = mnl_attr_next(attr);
  }
}

// 0: the route has none.
inline uint32_t MtuIn(const nlattr* metrics) {
  uint32_t mtu = 0;
  ForEachNested(metrics, [&mtu](const nlattr* attr) {
    if (mnl_attr_get_type(attr) == RTAX_MTU && mnl_attr_get_payload_len(attr) >= sizeof(mtu)) {
      mtu = mnl_attr_get_u32(attr);
    }
  });
  return mtu;
}

// True if the kernel ended a dump by an error. A routing table that does not exist is empty.
inline bool EndedEarly(const nlmsghdr* done) {
  int error = 0;
  if (mnl_nlmsg_get_payload_len(done) < sizeof(error)) return false;
  std::memcpy(&error, mnl_nlmsg_get_payload(done), sizeof(error));
  return error < 0 && error != -ENOENT;
}

// Sends a request and calls fn(message) for each answer of type `answer`. False: an error reply
// (`error`: its number), or what a dump lists changed meanwhile, so that it may lack something.
template <typename Fn>
bool Ask(mnl_socket* socket, nlmsghdr* request, uint16_t answer, Fn fn, int* error = nullptr) {
  const bool dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0) return false;
  Buffer buffer;
  bool whole = true;
  for (;;) {
    const ssize_t n = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
    if (n <= 0) return false;
    int left = static_cast<int>(n);
    for (auto* m = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
      if (m->nlmsg_seq != request->nlmsg_seq) continue;
      if (dump && (m->nlmsg_flags & NLM_F_DUMP_INTR) != 0) whole = false;
      if (m->nlmsg_type == NLMSG_DONE) return whole && !EndedEarly(m);
      if (m->nlmsg_type == NLMSG_ERROR) {
        const int refused = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(m))->error;
        if (error != nullptr) *error = -refused;
        return refused == 0;
      }
      if (m->nlmsg_type == answer) fn(m);
      if (!dump) return true;
    }
  }
}

// A request whose fixed part is empty yet.
template <typename Body>
nlmsghdr* BeginRequest(uint16_t type, int flags, uint32_t sequence, Buffer* buffer, Body** body) {
  nlmsghdr* request = mnl_nlmsg_put_header(buffer->data());
  request->nlmsg_type = type;
  request->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  request->nlmsg_seq = sequence;
  *body = static_cast<Body*>(mnl_nlmsg_put_extra_header(request, sizeof(Body)));
  return request;
}

}  // namespace cygnet::route_messages
