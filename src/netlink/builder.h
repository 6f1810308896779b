// MessageBuilder: builds a netlink message, with every part padded to four bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/bytes.h"
#include "netlink/buffer.h"

namespace cygnet::netlink {

// The header of a message without its length.
struct MessageHeader {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint32_t seq = 0;
  uint32_t pid = 0;
};

class MessageBuilder {
 public:
  // `behind`: complete messages; Finish returns them with the new one behind them.
  explicit MessageBuilder(const MessageHeader& header, Buffer behind = {});

  void PutBytes(std::span<const uint8_t> bytes);
  // The fixed part. Types with padding do not compile: padding would send old memory content.
  template <typename T>
  requires std::has_unique_object_representations_v<T>
  void Put(const T& fixed) { PutBytes(AsBytes(fixed)); }

  // REQUIRES: the payload fits an attribute (16-bit length); with a second part, the first needs no
  // padding.
  void AttributeBytes(uint16_t type, std::span<const uint8_t> payload,
                      std::span<const uint8_t> second = {});
  template <typename T>
  requires std::has_unique_object_representations_v<T>
  void Attribute(uint16_t type, const T& payload) { AttributeBytes(type, AsBytes(payload)); }

  // What is put between Begin and End becomes the payload of an attribute of this `type`:
  // attributes, or for a list structures.
  std::size_t BeginNest(uint16_t type);
  std::size_t BeginList(uint16_t type);
  void EndNest(std::size_t nest);

  // The message, with its length set.
  Buffer Finish() &&;

 private:
  const std::size_t begin_;  // of the message
  Buffer bytes_;
};

}  // namespace cygnet::netlink
