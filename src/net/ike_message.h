// IKE by its header: what may pass where only IKE may.
#pragma once

#include <cstdint>
#include <span>

namespace cygnet {

// `udp`: header and payload of a UDP datagram, whole. True for an ISAKMP header of version 1.0 or
// 2.0 whose length is that of the rest (RFC 2408 section 3.1, RFC 7296 section 3.1). On port 4500
// behind the non-ESP marker, or a keep-alive (RFC 3948). What is behind the header is not looked
// at: most of it is encrypted.
bool IsIkeMessage(std::span<const uint8_t> udp, uint16_t own_port);

}  // namespace cygnet
