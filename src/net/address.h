// IP addresses and prefixes as XFRM carries them: 16 bytes in wire order, IPv4 in the first four.
// The family is kept separately.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/hash_seed.h"

namespace cygnet {

enum class IpFamily : uint16_t { kUnspec = 0, kV4 = 2, kV6 = 10 };  // AF_UNSPEC, AF_INET, AF_INET6

inline constexpr unsigned AddressBits(IpFamily family) {
  return family == IpFamily::kV4 ? 32 : family == IpFamily::kV6 ? 128 : 0;
}

struct IpAddress {
  alignas(8) std::array<uint8_t, 16> bytes{};  // wire order; bytes 4..15 are zero for IPv4

  auto operator<=>(const IpAddress&) const = default;
  bool operator==(const IpAddress& other) const {  // compares words
    uint64_t a[2];
    uint64_t b[2];
    std::memcpy(a, bytes.data(), sizeof(a));
    std::memcpy(b, other.bytes.data(), sizeof(b));
    return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
  }
  bool IsAny() const { return *this == IpAddress{}; }

  static IpAddress V4(const void* four_bytes) {
    IpAddress a;
    std::memcpy(a.bytes.data(), four_bytes, 4);
    return a;
  }
  static IpAddress V6(const void* sixteen_bytes) {
    IpAddress a;
    std::memcpy(a.bytes.data(), sixteen_bytes, 16);
    return a;
  }
};

// Keeps the first `prefix_bits` bits; the others become zero.
inline IpAddress Masked(const IpAddress& a, unsigned prefix_bits) {
  uint64_t word[2];
  std::memcpy(word, a.bytes.data(), sizeof(word));
  const auto mask = [](unsigned bits) {
    return bits >= 64 ? ~uint64_t{0} : bits == 0 ? 0 : ~uint64_t{0} << (64 - bits);
  };
  word[0] &= __builtin_bswap64(mask(prefix_bits));
  word[1] &= __builtin_bswap64(mask(prefix_bits <= 64 ? 0 : prefix_bits - 64));
  IpAddress masked;
  std::memcpy(masked.bytes.data(), word, sizeof(word));
  return masked;
}

// True if the first `prefix_bits` bits of both are equal; always true for 0 bits.
bool PrefixMatches(const IpAddress& a, const IpAddress& b, unsigned prefix_bits);

// 224/4, 255.255.255.255, ff00::/8.
bool IsMulticastOrBroadcast(const IpAddress& a, IpFamily family);

// A unicast address that may belong to another host: not 0/8, 127/8, class D or E; not ::, ::1,
// multicast.
bool IsOneHost(const IpAddress& a, IpFamily family);

std::string ToString(const IpAddress& a, IpFamily family);

struct ParsedAddress {
  IpAddress address;
  IpFamily family = IpFamily::kUnspec;
};
std::optional<ParsedAddress> ParseAddress(std::string_view text);

struct AddressPrefix {
  IpAddress address;
  IpFamily family = IpFamily::kUnspec;
  uint8_t bits = 0;
  bool operator==(const AddressPrefix&) const = default;
  bool Contains(const IpAddress& a, IpFamily f) const {
    return f == family && PrefixMatches(a, address, bits);
  }
};
// "10.1.0.0/16", "2001:db8::/32". Without a length it is a single address. Set bits beyond the
// length are an error.
std::optional<AddressPrefix> ParsePrefix(std::string_view text);
std::string ToString(const AddressPrefix& prefix);

}  // namespace cygnet

template <>
struct std::hash<cygnet::IpAddress> {
  std::size_t operator()(const cygnet::IpAddress& a) const noexcept {
    uint64_t w[2];
    std::memcpy(w, a.bytes.data(), 16);
    return static_cast<std::size_t>(cygnet::SeededHash(w[0], w[1]));
  }
};
