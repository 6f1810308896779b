// Framing of netlink datagrams (RFC 3549, section 2.3; struct nlmsghdr): finds the messages in
// received bytes. Every length is checked against the available bytes.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace cygnet::netlink {

inline constexpr std::size_t kHeaderSize = sizeof(nlmsghdr);
static_assert(kHeaderSize == 16);

// Messages and attributes start at multiples of four.
constexpr std::size_t Align(std::size_t n) { return (n + 3) & ~std::size_t{3}; }

// A message inside a datagram. REQUIRES: the datagram outlives it.
struct MessageView {
  nlmsghdr header{};
  std::span<const uint8_t> bytes;  // header and payload, without trailing padding

  std::span<const uint8_t> payload() const { return bytes.subspan(kHeaderSize); }
  bool HasFlags(unsigned mask) const { return (header.nlmsg_flags & mask) == mask; }
};

// Removes the next message from `rest`. nullopt at the end and at a header with an invalid length:
// like the kernel, it ignores what follows such a header without an answer.
std::optional<MessageView> NextMessage(std::span<const uint8_t>& rest);

}  // namespace cygnet::netlink
