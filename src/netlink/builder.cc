#include "netlink/builder.h"

#include <linux/netlink.h>

#include <cstring>
#include <utility>

#include "base/check.h"
#include "netlink/attribute.h"
#include "netlink/message.h"

namespace cygnet::netlink {

MessageBuilder::MessageBuilder(const MessageHeader& header, Buffer behind)
    : begin_(behind.size()), bytes_(std::move(behind)) {
  // Enough for most messages; reallocation would copy keys.
  if (bytes_.capacity() == 0) bytes_.reserve(1024);
  nlmsghdr raw{};
  raw.nlmsg_type = header.type;
  raw.nlmsg_flags = header.flags;
  raw.nlmsg_seq = header.seq;
  raw.nlmsg_pid = header.pid;
  Put(raw);
}

// With an allocator of its own, a vector inserts byte by byte.
void MessageBuilder::PutBytes(std::span<const uint8_t> bytes) {
  const std::size_t at = bytes_.size();
  bytes_.resize(Align(at + bytes.size()), 0);
  if (!bytes.empty()) std::memcpy(bytes_.data() + at, bytes.data(), bytes.size());
}

void MessageBuilder::AttributeBytes(uint16_t type, std::span<const uint8_t> payload,
                                    std::span<const uint8_t> second) {
  const std::size_t size = payload.size() + second.size();
  CYGNET_CHECK(size <= UINT16_MAX - kAttributeHeaderSize);
  CYGNET_CHECK(second.empty() || Align(payload.size()) == payload.size());
  const nlattr header{static_cast<uint16_t>(size + kAttributeHeaderSize), type};
  Put(header);
  PutBytes(payload);
  PutBytes(second);
}

std::size_t MessageBuilder::BeginNest(uint16_t type) {
  return BeginList(static_cast<uint16_t>(type | NLA_F_NESTED));
}

std::size_t MessageBuilder::BeginList(uint16_t type) {
  const std::size_t at = bytes_.size();
  Put(nlattr{0, type});
  return at;
}

void MessageBuilder::EndNest(std::size_t nest) {
  CYGNET_CHECK(bytes_.size() - nest <= UINT16_MAX);
  const auto length = static_cast<uint16_t>(bytes_.size() - nest);
  std::memcpy(bytes_.data() + nest, &length, sizeof(length));
}

Buffer MessageBuilder::Finish() && {
  const auto length = static_cast<uint32_t>(bytes_.size() - begin_);
  std::memcpy(bytes_.data() + begin_, &length, sizeof(length));
  return std::move(bytes_);
}

}  // namespace cygnet::netlink
