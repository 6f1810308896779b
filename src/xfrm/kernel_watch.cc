#include "xfrm/kernel_watch.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <vector>

#include "base/errno_error.h"
#include "net/selector.h"
#include "netlink/buffer.h"
#include "netlink/message.h"
#include "xfrm/protocol.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::MessageView;

Result<UniqueFd> OpenXfrm(uint32_t groups, int flags) {
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

// The number of `answer` messages in a dump of `type`. After an early stop the caller closes the
// socket, which ends the dump.
Result<uint32_t> CountDump(uint16_t type, uint16_t answer) {
  auto fd = OpenXfrm(0, 0);
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

// The fixed part of a message; nullopt if truncated.
template <typename T>
std::optional<T> Fixed(const MessageView& message, std::size_t offset = 0) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto payload = message.payload();
  if (payload.size() < offset + sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, payload.data() + offset, sizeof(T));
  return value;
}

std::string To(const xfrm_address_t& address, uint16_t family, uint32_t spi) {
  const IpFamily known = family == AF_INET6 ? IpFamily::kV6 : IpFamily::kV4;
  char text[16];
  std::snprintf(text, sizeof(text), "0x%08x", ntohl(spi));
  return " to " + ToString(FromWire(address, known), known) + " spi " + text;
}

std::string SaText(const MessageView& message) {
  const auto info = Fixed<xfrm_usersa_info>(message);
  return info ? To(info->id.daddr, info->family, info->id.spi) : std::string();
}

std::string DeletedSaText(const MessageView& message) {
  const auto id = Fixed<xfrm_usersa_id>(message);
  return id ? To(id->daddr, id->family, id->spi) : std::string();
}

std::string PolicyText(const MessageView& message) {
  const auto info = Fixed<xfrm_userpolicy_info>(message);
  return info ? " " + ToString(FromWire(info->sel)) : std::string();
}

// Empty: not a change by a client. Expiry, for example, follows from an earlier change.
std::string What(const MessageView& message) {
  switch (message.header.nlmsg_type) {
    case XFRM_MSG_NEWSA:
      return "new SA" + SaText(message);
    case XFRM_MSG_UPDSA:
      return "changed SA" + SaText(message);
    case XFRM_MSG_DELSA:
      return "deleted SA" + DeletedSaText(message);
    case XFRM_MSG_FLUSHSA:
      return "flushed SAs";
    case XFRM_MSG_NEWPOLICY:
      return "new policy" + PolicyText(message);
    case XFRM_MSG_UPDPOLICY:
      return "changed policy" + PolicyText(message);
    case XFRM_MSG_DELPOLICY:
      return "deleted policy";
    case XFRM_MSG_FLUSHPOLICY:
      return "flushed policies";
    case XFRM_MSG_NEWAE:
    default:
      return {};
  }
}

std::optional<std::string> Describe(const MessageView& message) {
  std::string text = What(message);
  if (text.empty()) return std::nullopt;
  // The value that the client put into its request; usually 0.
  if (message.header.nlmsg_pid != 0) {
    text += ", by a client that calls itself process " + std::to_string(message.header.nlmsg_pid);
  }
  return text;
}

constexpr uint32_t Group(int number) { return uint32_t{1} << (number - 1); }

}  // namespace

Result<KernelHoldings> LookAtKernel() {
  const auto sas = CountDump(XFRM_MSG_GETSA, XFRM_MSG_NEWSA);
  if (!sas) return sas.error();
  const auto policies = CountDump(XFRM_MSG_GETPOLICY, XFRM_MSG_NEWPOLICY);
  if (!policies) return policies.error();
  return KernelHoldings{.sas = *sas, .policies = *policies};
}

Result<std::unique_ptr<KernelWatch>> KernelWatch::Open() {
  auto fd = OpenXfrm(Group(XFRMNLGRP_SA) | Group(XFRMNLGRP_POLICY), SOCK_NONBLOCK);
  if (!fd) return fd.error();
  return std::unique_ptr<KernelWatch>(new KernelWatch(*std::move(fd)));
}

KernelWatch::Changes KernelWatch::Drain() {
  constexpr int kAtATime = 64;
  Changes changes;
  netlink::Buffer buffer(std::size_t{64} << 10);
  for (int i = 0; i < kAtATime; ++i) {
    const ssize_t got = recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == ENOBUFS) {  // events were lost
      ++changes.count;
      if (changes.last.empty()) changes.last = "many changes at once";
      continue;
    }
    if (got <= 0) break;
    std::span<const uint8_t> rest(buffer.data(), static_cast<std::size_t>(got));
    while (const auto message = netlink::NextMessage(rest)) {
      if (auto text = Describe(*message)) {
        ++changes.count;
        changes.last = *std::move(text);
      }
    }
  }
  return changes;
}

std::optional<std::string> DescribeKernelMessage(std::span<const uint8_t> message) {
  const auto view = netlink::NextMessage(message);
  return view ? Describe(*view) : std::nullopt;
}

}  // namespace cygnet::xfrm
