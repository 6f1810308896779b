// What an extended ACK says beside the error number (enum nlmsgerr_attrs).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace cygnet::netlink {

struct AttributeRule;

struct ExtendedAck {
  std::string message;                  // empty: no text
  std::optional<uint32_t> attr_offset;  // of the offending attribute, from the message's start
  const AttributeRule* rule = nullptr;  // that it broke; shown to the client
};

// Which forms of an answer the client's socket options ask for.
struct AckOptions {
  bool extended = false;  // NETLINK_EXT_ACK
  bool capped = false;    // NETLINK_CAP_ACK: errors echo only the request's header
};

}  // namespace cygnet::netlink
