#include "net/address.h"

#include <arpa/inet.h>

#include <charconv>

namespace cygnet {

bool PrefixMatches(const IpAddress& a, const IpAddress& b, unsigned prefix_bits) {
  const unsigned whole = prefix_bits / 8;
  if (whole > 0 && std::memcmp(a.bytes.data(), b.bytes.data(), whole) != 0) {
    return false;
  }
  const unsigned rest = prefix_bits % 8;
  if (rest == 0) {
    return true;
  }
  const unsigned mask = 0xffu << (8 - rest) & 0xffu;
  return ((a.bytes[whole] ^ b.bytes[whole]) & mask) == 0;
}

bool IsMulticastOrBroadcast(const IpAddress& a, IpFamily family) {
  if (family == IpFamily::kV4) {
    return (a.bytes[0] & 0xf0) == 0xe0 ||
           (a.bytes[0] == 255 && a.bytes[1] == 255 && a.bytes[2] == 255 && a.bytes[3] == 255);
  }
  return a.bytes[0] == 0xff;
}

bool IsOneHost(const IpAddress& a, IpFamily family) {
  if (IsMulticastOrBroadcast(a, family) || a.IsAny()) return false;
  if (family == IpFamily::kV4) return a.bytes[0] != 0 && a.bytes[0] != 127 && a.bytes[0] < 224;
  static constexpr IpAddress kLoopback{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  return a != kLoopback;
}

std::string ToString(const IpAddress& a, IpFamily family) {
  char text[INET6_ADDRSTRLEN] = "";
  if (family == IpFamily::kV6) {
    inet_ntop(AF_INET6, a.bytes.data(), text, sizeof(text));
    return text;
  }
  // inet_ntop needs 2,000 instructions here, and each SA's records show several addresses.
  char* at = text;
  for (unsigned i = 0; i < 4; ++i) {
    if (i > 0) *at++ = '.';
    at = std::to_chars(at, text + sizeof(text), a.bytes[i]).ptr;
  }
  return std::string(text, at);
}

std::optional<ParsedAddress> ParseAddress(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string copy(text);
  ParsedAddress result;
  if (inet_pton(AF_INET, copy.c_str(), result.address.bytes.data()) == 1) {
    result.family = IpFamily::kV4;
    return result;
  }
  if (inet_pton(AF_INET6, copy.c_str(), result.address.bytes.data()) == 1) {
    result.family = IpFamily::kV6;
    return result;
  }
  return std::nullopt;
}

std::optional<AddressPrefix> ParsePrefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto parsed = ParseAddress(text.substr(0, slash));
  if (!parsed.has_value()) return std::nullopt;
  AddressPrefix prefix{parsed->address, parsed->family,
                       static_cast<uint8_t>(AddressBits(parsed->family))};
  if (slash == std::string_view::npos) return prefix;
  const std::string_view digits = text.substr(slash + 1);
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  if (error != std::errc() || end != digits.data() + digits.size() || bits > prefix.bits) {
    return std::nullopt;
  }
  for (unsigned bit = bits; bit < prefix.bits; ++bit) {
    if ((prefix.address.bytes[bit / 8] & (0x80u >> bit % 8)) != 0) return std::nullopt;
  }
  prefix.bits = static_cast<uint8_t>(bits);
  return prefix;
}

std::string ToString(const AddressPrefix& prefix) {
  return ToString(prefix.address, prefix.family) + "/" + std::to_string(prefix.bits);
}

}  // namespace cygnet
