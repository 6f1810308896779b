#include "netlink/builder.h"

#include <linux/netlink.h>

#include <cstring>

#include "base/check.h"
#include "netlink/attribute.h"
#include "netlink/message.h"

namespace cygnet::netlink {

MessageBuilder::MessageBuilder(const MessageHeader& header) {
  bytes_.reserve(1024);  // enough for most messages; reallocation would copy keys
  nlmsghdr raw{};
  raw.nlmsg_type = header.type;
  raw.nlmsg_flags = header.flags;
  raw.nlmsg_seq = header.seq;
  raw.nlmsg_pid = header.pid;
  Put(raw);
}

void MessageBuilder::PutBytes(std::span<const uint8_t> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  bytes_.resize(Align(bytes_.size()), 0);
}

void MessageBuilder::AttributeBytes(uint16_t type, std::span<const uint8_t> payload) {
  CYGNET_CHECK(payload.size() <= UINT16_MAX - kAttributeHeaderSize);
  const nlattr header{static_cast<uint16_t>(payload.size() + kAttributeHeaderSize), type};
  Put(header);
  PutBytes(payload);
}

std::size_t MessageBuilder::BeginNest(uint16_t type) {
  const std::size_t at = bytes_.size();
  Put(nlattr{0, static_cast<uint16_t>(type | NLA_F_NESTED)});
  return at;
}

void MessageBuilder::EndNest(std::size_t nest) {
  CYGNET_CHECK(bytes_.size() - nest <= UINT16_MAX);
  const auto length = static_cast<uint16_t>(bytes_.size() - nest);
  std::memcpy(bytes_.data() + nest, &length, sizeof(length));
}

Buffer MessageBuilder::Finish() && {
  const auto length = static_cast<uint32_t>(bytes_.size());
  std::memcpy(bytes_.data(), &length, sizeof(length));
  return std::move(bytes_);
}

}  // namespace cygnet::netlink
