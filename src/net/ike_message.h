// Recognizes IKE by its header, where only IKE may pass.
#pragma once

#include <cstdint>
#include <span>

namespace cygnet {

// `udp`: header and payload of a whole UDP datagram. True for an ISAKMP header of version 1.0 or
// 2.0 whose length equals the rest (RFC 2408 section 3.1, RFC 7296 section 3.1). On port 4500 the
// non-ESP marker must precede it; a keep-alive is accepted too (RFC 3948). The body is not
// inspected: most of it is encrypted.
bool IsIkeMessage(std::span<const uint8_t> udp, uint16_t own_port);

}  // namespace cygnet
