// The content of an extended ACK besides the error number (enum nlmsgerr_attrs).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace cygnet::netlink {

struct AttributeRule;

struct ExtendedAck {
  std::string message;                  // empty: no text
  std::optional<uint32_t> attr_offset;  // of the invalid attribute, from the start of the message
  const AttributeRule* rule = nullptr;  // the broken rule; shown to the client
};

// The form of answers that the client's socket options request.
struct AckOptions {
  bool extended = false;  // NETLINK_EXT_ACK
  bool capped = false;    // NETLINK_CAP_ACK: errors echo only the header of the request
};

}  // namespace cygnet::netlink
