#include "xfrm/kernel_watch.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <vector>

#include "net/selector.h"
#include "netlink/buffer.h"
#include "netlink/message.h"
#include "xfrm/protocol.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::MessageView;

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

Result<std::unique_ptr<KernelWatch>> KernelWatch::Open() {
  auto fd = OpenKernelXfrm(Group(XFRMNLGRP_SA) | Group(XFRMNLGRP_POLICY), SOCK_NONBLOCK);
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
