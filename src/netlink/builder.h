// MessageBuilder: puts one netlink message together, every part padded to four bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/bytes.h"
#include "netlink/buffer.h"

namespace cygnet::netlink {

// What stands in the header of a message beside its length.
struct MessageHeader {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint32_t seq = 0;
  uint32_t pid = 0;
};

class MessageBuilder {
 public:
  explicit MessageBuilder(const MessageHeader& header);

  void PutBytes(std::span<const uint8_t> bytes);
  // The fixed part. Types with padding are refused: it would go out with what was in memory.
  template <typename T>
  requires std::has_unique_object_representations_v<T>
  void Put(const T& fixed) { PutBytes(AsBytes(fixed)); }

  // REQUIRES: the payload fits an attribute (16-bit length).
  void AttributeBytes(uint16_t type, std::span<const uint8_t> payload);
  template <typename T>
  requires std::has_unique_object_representations_v<T>
  void Attribute(uint16_t type, const T& payload) { AttributeBytes(type, AsBytes(payload)); }

  // Attributes put between Begin and End become the payload of one of type `type`.
  std::size_t BeginNest(uint16_t type);
  void EndNest(std::size_t nest);

  // The message, its length filled in.
  Buffer Finish() &&;

 private:
  Buffer bytes_;
};

}  // namespace cygnet::netlink
