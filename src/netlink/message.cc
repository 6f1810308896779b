#include "netlink/message.h"

#include <algorithm>

#include "base/bytes.h"

namespace cygnet::netlink {

std::optional<MessageView> NextMessage(std::span<const uint8_t>& rest) {
  const auto header = ReadAt<nlmsghdr>(rest);
  if (!header || header->nlmsg_len < kHeaderSize || header->nlmsg_len > rest.size()) {
    rest = {};
    return std::nullopt;
  }
  MessageView view{*header, rest.first(header->nlmsg_len)};
  // The last message of a datagram may lack padding.
  rest = rest.subspan(std::min(Align(header->nlmsg_len), rest.size()));
  return view;
}

}  // namespace cygnet::netlink
