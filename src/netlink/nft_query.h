// Requests to nftables over nfnetlink, and what is read from the answers.
#pragma once

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "base/errno_error.h"
#include "netlink/kernel_netlink.h"
#include "netlink/message.h"

namespace cygnet::netlink {

// A request of this NFT_MSG type. `family`: NFPROTO_…
inline MessageBuilder BeginNft(KernelNetlink* socket, uint16_t type, uint16_t flags,
                               uint8_t family) {
  return Begin(socket, static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
               nfgenmsg{family, NFNETLINK_V0, 0});
}

// nftables sends numbers in network byte order. 0 if the payload is shorter.
inline uint32_t NumberIn(std::span<const uint8_t> payload) {
  uint32_t value = 0;
  if (payload.size() >= sizeof(value)) std::memcpy(&value, payload.data(), sizeof(value));
  return ntohl(value);
}

inline std::string StringIn(std::span<const uint8_t> payload) {
  const std::string text(payload.begin(), payload.end());
  return text.substr(0, text.find('\0'));
}

inline bool IsNftAnswer(const Buffer& message, uint16_t type) {
  nlmsghdr header{};
  if (message.size() < kHeaderSize + sizeof(nfgenmsg)) return false;
  std::memcpy(&header, message.data(), sizeof(header));
  return header.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | type);
}

// Sends a request with the attributes of `put`; calls fn(attributes) for each answer of that type.
// Something that does not exist is not an error.
template <typename Put, typename Fn>
Status QueryNft(KernelNetlink* socket, uint16_t type, uint16_t answer, uint16_t flags,
                uint8_t family, Put put, Fn fn) {
  MessageBuilder builder = BeginNft(socket, type, flags, family);
  put(&builder);
  const auto answers = socket->Ask(std::move(builder).Finish());
  if (!answers) return answers.error();
  for (const Buffer& message : *answers) {
    const int error = ErrorOf(message);
    if (error != 0 && error != ENOENT) return ErrnoError("nftables", error);
    if (IsNftAnswer(message, answer)) {
      fn(std::span<const uint8_t>(message).subspan(kHeaderSize + sizeof(nfgenmsg)));
    }
  }
  return {};
}

}  // namespace cygnet::netlink
